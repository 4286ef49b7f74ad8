// Before a delta sync throws a replica's log away: does it hold records that the new primary does
// not have? Those are the commits that a failover discards, and must be saved first (LOSS-KNOWN).
// Used on the net thread; pure but for reading the log.
#pragma once

#include <optional>

#include "replicator/node/history_search.h"
#include "replicator/node/role_host.h"
#include "replicator/receive/receiver.h"

namespace tanist {

class TailCheck {
  public:
    // A sync wants to begin. True: go on, by question(), divergence(), or with the sync. False: the
    // log is still taking what came before; call begin() again when it has (waiting()).
    bool begin(const ReceiverView& view, Log& log);
    bool waiting() const { return waiting_; }
    // An answer of the primary. False: of an earlier search.
    bool answered(const History& theirs, Log& log);
    // What to ask the primary for; nothing: the search is over, or none was needed.
    std::optional<Lsn> question() const;
    // After the search: what would be lost; nothing when nothing would.
    std::optional<Divergence> divergence() const;

  private:
    ReceiverView view_;
    bool waiting_ = false;
    std::optional<HistorySearch> search_;
};

}  // namespace tanist
