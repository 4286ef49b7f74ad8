// What `tanist_status` and `tanist_replicas` show: the control block in words.
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
// What would be lost if this machine were lost now: commits that no replica has on disk.
struct DataAtRisk {
    uint64_t transactions = 0;
    uint64_t bytes = 0;
    double seconds = 0;
};

std::vector<ReplicaRow> replica_rows(const DatabaseFile& file);
DataAtRisk data_at_risk(const std::vector<ReplicaRow>& rows, uint64_t last_lsn);
std::string status_json(DatabaseFile& file);

}  // namespace tanist
