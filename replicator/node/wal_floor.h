// What a power cut may take from a primary's database must be in its own log, together with a
// record by which the database is found there (own_tail.h). That is what the present WAL holds,
// which SQLite need not have synced, and what the one before it held, which comes back when the
// present one's header is lost. Retention keeps these records, though no replica needs them.
//
// Not thread-safe; the capture thread owns it.
#pragma once

#include "replicator/control/control_block.h"
#include "replicator/log/log.h"

namespace tanist {

class WalFloor {
  public:
    // Looks into what is left of an earlier engine's log, a few records of it: what it keeps for
    // that may be some more than is needed, until two WALs have begun.
    explicit WalFloor(Log& log);
    // Where capture stands; now and then.
    void saw(const CapturedPoint& captured);
    // Everything behind it is kept, and it as well.
    Lsn needed() const { return previous_; }

  private:
    bool known_ = false;
    uint32_t salt1_ = 0;
    uint32_t salt2_ = 0;
    Lsn seen_;      // the last position that was seen in the present WAL
    Lsn present_;   // the present WAL began at it or behind it
    Lsn previous_;  // so did the one before
};

}  // namespace tanist
