// How far a replica is behind, in bytes and in time: what the log's end was when, in a bounded
// ring. Pure.
#pragma once

#include <deque>

#include "replicator/base/clock.h"
#include "replicator/base/ids.h"

namespace tanist {

class LagHistory {
  public:
    // Call often; remembers when the log first reached `end`.
    void note(Lsn end, uint64_t bytes, Instant now);
    uint64_t lag_bytes(Lsn applied) const;
    // Age of the oldest commit after `applied`.
    Nanos lag(Lsn applied, Instant now) const;

  private:
    struct Sample {
        Lsn end;
        uint64_t bytes;  // running total at `end`
        Instant seen;
    };
    void thin();
    std::deque<Sample> samples_;  // rising in every field
    Sample now_{};                // the present end, not yet worth a sample
};

}  // namespace tanist
