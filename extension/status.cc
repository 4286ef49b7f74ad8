#include "extension/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "extension/database_file.h"

namespace tanist {
namespace {

using Json = nlohmann::ordered_json;

double seconds_of(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

Json engine_json(DatabaseFile& file) {
    Json engine = {{"pid", nullptr}, {"alive", false}, {"last_seen", nullptr}};
    if (!file.control) return engine;
    if (const uint32_t pid = file.control->engine_pid.load(); pid != 0) engine["pid"] = pid;
    engine["alive"] = file.engine_answers() || engine_lives(file.layout.ship_lock());
    if (const int64_t beat = file.control->engine_beat_ns.load(); beat != 0) {
        // Seconds ago.
        engine["last_seen"] = seconds_of(static_cast<uint64_t>(std::max<int64_t>(
            0, boot_now().ns - beat)));
    }
    return engine;
}

Json replica_json(const ReplicaRow& row) {
    return {{"endpoint", row.report.endpoint},
            {"state", to_string(row.report.state)},
            {"reason", row.report.reason},
            {"received", row.report.received.value},
            {"durable", row.report.durable.value},
            {"applied", row.report.applied.value},
            {"lag",
             {{"transactions", row.lag_transactions},
              {"bytes", row.report.lag_bytes},
              {"seconds", seconds_of(row.report.lag_ns)}}}};
}

}  // namespace

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

DataAtRisk data_at_risk(const std::vector<ReplicaRow>& rows, uint64_t last_lsn) {
    const auto best = std::max_element(
        rows.begin(), rows.end(), [](const ReplicaRow& a, const ReplicaRow& b) {
            return a.report.durable < b.report.durable;
        });
    if (best == rows.end()) return {last_lsn, 0, 0};
    const uint64_t durable = best->report.durable.value;
    if (durable >= last_lsn) return {};
    return {last_lsn - durable, best->report.lag_bytes, seconds_of(best->report.lag_ns)};
}

std::string status_json(DatabaseFile& file) {
    const bool replica = file.role() == Role::replica;
    Position position;
    std::string problem;
    if (file.control) {
        position = file.control.captured().position;
        if (replica) {
            position = {Epoch{file.control->epoch.load()}, Lsn{file.control->applied_lsn.load()}};
        }
        problem = file.control.problem();
    }
    Json status = {{"database", file.layout.db},
                   {"role", to_string(file.role())},
                   {"epoch", position.epoch.value},
                   {"position", to_string(position)},
                   {"lease", nullptr},
                   {"engine", engine_json(file)},
                   {"replicas", Json::array()}};
    const auto rows = replica_rows(file);
    for (const ReplicaRow& row : rows) status["replicas"].push_back(replica_json(row));
    const DataAtRisk risk = replica ? DataAtRisk{} : data_at_risk(rows, position.lsn.value);
    status["data_at_risk"] = {
        {"transactions", risk.transactions}, {"bytes", risk.bytes}, {"seconds", risk.seconds}};
    status["problem"] = problem;
    status["last_error"] = file.last_error;
    // Paths need not be UTF-8; a status must not fail for that.
    return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tanist
