// When commits that wait for replicas are shipped, where many wait beside each other (pipelined).
// Each by itself costs every thread between the nodes a wake, and those take the processors from
// the writers. So while some are on their way, others are gathered: until they are as many, or
// those are confirmed. One alone leaves at once, batches grow with the number of writers, and
// nobody waits longer than for one confirmation. (Nagle's algorithm, RFC 896, with commits in the
// place of bytes.) Pure.
//
// Counts are of commits that have ever waited (ControlGather), modulo 2^32.
#pragma once

#include <cstdint>
#include <deque>

#include "replicator/base/ids.h"

namespace tanist {

class Gathering {
  public:
    explicit Gathering(uint32_t commits = 0) : shipped_(commits), confirmed_(commits) {}

    // `commits`, counted before the log was brought up to date, are in it up to `through`.
    void shipped(uint32_t commits, Lsn through);
    void confirmed(Lsn through);
    // How many commits there are when the next batch is complete.
    uint32_t complete_at() const;

  private:
    struct Batch {
        Lsn through;
        uint32_t commits;
    };
    std::deque<Batch> on_their_way_;
    uint32_t shipped_;
    uint32_t confirmed_;
    Lsn confirmed_through_;
};

}  // namespace tanist
