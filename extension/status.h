// What `tanist_status` and `tanist_replicas` show.
#pragma once

#include <string>
#include <vector>

#include "replicator/control/control_block.h"

namespace tanist {

struct DatabaseFile;

struct ReplicaRow {
    PeerReport report;
    uint64_t lag_transactions = 0;
};
std::vector<ReplicaRow> replica_rows(const DatabaseFile& file);

// JSON: what control/status.h says, and "last_error", what this connection met.
std::string status_text(const DatabaseFile& file);

}  // namespace tanist
