#include "extension/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "extension/database_file.h"
#include "replicator/control/status.h"

namespace tanist {

std::vector<ReplicaRow> replica_rows(const DatabaseFile& file) {
    std::vector<ReplicaRow> rows;
    if (!file.control) return rows;
    const uint64_t last = file.control.captured().position.lsn.value;
    const size_t count = std::min<size_t>(file.control->peers.load(), limits::kMembersMax);
    for (size_t i = 0; i < count; ++i) {
        ReplicaRow row;
        row.report = file.control.peer(i);
        const uint64_t applied = row.report.applied.value;
        row.lag_transactions = last > applied ? last - applied : 0;
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string status_text(const DatabaseFile& file) {
    using Json = nlohmann::ordered_json;
    Json status = Json::parse(status_json(file.layout));
    status["last_error"] = file.last_error;
    // A path need not be UTF-8.
    return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tanist
