// max_lag: writers are held back while more than the bound is on no replica. Off by default.
#pragma once

#include "replicator/control/ack_rule.h"

namespace tanist {

struct DatabaseFile;

// What would be lost with this node, counted from the control block and the wal-index, so that it
// is also known of an engine that does not answer.
AtRisk at_risk(const DatabaseFile& file);

// Before a writer takes WRITE. From half the bound on it is slowed, by milliseconds; beyond the
// bound it waits a moment and is then told SQLITE_BUSY, which its own busy timeout may outwait.
int brake(DatabaseFile& file);

}  // namespace tanist
