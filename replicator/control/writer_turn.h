// Whose turn it is to write, among connections whose commits wait for replicas afterwards, in all
// processes (control block). SQLite's own queue for WRITE is a busy handler that sleeps a
// millisecond and more; a pipelined commit holds WRITE for some microseconds, and those whom one
// acknowledgement wakes all come at once. Here each waits for the one before it, before SQLite
// takes its snapshot: a writer that waits later finds its snapshot old, and goes to sleep after
// all.
//
// Advice, not a lock. Nobody waits longer than a millisecond, and a holder that has had it for
// longer (in a long transaction, or killed) is passed over.
#pragma once

#include <cstdint>

#include "replicator/base/clock.h"
#include "replicator/control/control_block.h"

namespace tanist {

class WriterTurn {
  public:
    static constexpr Nanos kLongest = std::chrono::milliseconds(1);

    // A READ lock is about to be taken. `pipelined`: as the next commit will be.
    void about_to_read(ControlTurn& turn, bool pipelined);
    // The READ lock is given back; SQLite does so a few times before it writes, too.
    void has_read(ControlTurn& turn);
    // WRITE was asked for by somebody who reads.
    void asked_to_write(ControlTurn& turn, bool got_it);
    // WRITE is free again.
    void has_written(ControlTurn& turn);
    bool is_ours() const { return ours_; }

  private:
    bool enter(ControlTurn& turn) const;
    void leave(ControlTurn& turn);

    uint32_t self_ = 0;         // a number of chance, not 0
    bool writes_next_ = false;  // as it did last time: nothing tells before
    bool ours_ = false;
    int reads_ = 0;  // since it last wrote
};

}  // namespace tanist
