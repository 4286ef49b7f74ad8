#include "extension/brake.h"

#include <algorithm>

#include "extension/database_file.h"
#include "extension/host.h"
#include "replicator/wal/wal_index.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t kSlowFrom = 50;  // percent of the bound
constexpr Nanos kSlowest = 10ms;
constexpr Nanos kPatience = 100ms;  // beyond the bound

}  // namespace

AtRisk at_risk(const DatabaseFile& file) {
    AtRisk risk;
    const Control& control = file.control;
    const CapturedPoint captured = control.captured();
    Lsn safest;
    const AckPoints acks = control.acks();
    for (const AckPoint& ack : acks.all()) safest = std::max(safest, ack.durable);
    if (captured.position.lsn > safest) risk.commits = captured.position.lsn.value - safest.value;
    if (risk.commits > 0) risk.bytes = control->unsafe_bytes.load(std::memory_order_relaxed);
    int64_t since_ns = control->unsafe_since_ns.load(std::memory_order_relaxed);
    const auto header = read_wal_index_header(file.gate.region());
    const int64_t now_ns = boot_now().ns;
    if (header && header->change != captured.change) {
        // Commits that no engine has seen. After a recovery their number is not known.
        const uint32_t commits = header->change - captured.change;
        risk.commits += commits < 1u << 30 ? commits : 1;
        const bool same_wal =
            header->salt.salt1 == captured.salt1 && header->salt.salt2 == captured.salt2;
        const uint32_t from = same_wal ? std::min(captured.frame, header->max_frame) : 0;
        risk.bytes += uint64_t{header->max_frame - from} * header->page_bytes;
        if (since_ns == 0 && !file.engine_answers()) {
            since_ns = control->engine_beat_ns.load(std::memory_order_relaxed);
        }
    }
    if (risk.commits > 0 && since_ns != 0)
        risk.age = Nanos(std::max<int64_t>(0, now_ns - since_ns));
    return risk;
}

int brake(DatabaseFile& file) {
    const LagBound& bound = file.settings.max_lag;
    if (bound.unit == LagBound::Unit::none || !file.control || file.gate.region() == nullptr) {
        return SQLITE_OK;
    }
    if (file.control->peers.load(std::memory_order_relaxed) == 0) return SQLITE_OK;
    const Instant deadline = boot_now() + kPatience;
    bool slowed = false;
    while (true) {
        const uint32_t tick = file.control->ack_tick.load(std::memory_order_seq_cst);
        const uint32_t used = used_percent(bound, at_risk(file));
        if (used < kSlowFrom || (used < 100 && slowed)) return SQLITE_OK;
        const Nanos left = deadline - boot_now();
        if (used < 100) {
            slowed = true;
            file.control.wait_acks(tick, kSlowest * (used - kSlowFrom) / (100 - kSlowFrom), false);
            continue;
        }
        if (left.count() <= 0) break;
        file.control.ring(true);
        file.control.wait_acks(tick, std::min(left, kSlowest), false);
    }
    file.ensure_engine();
    file.last_error = "more than max_lag of " + file.layout.db +
                      " is on no replica yet, so nothing is written until they have caught up";
    return SQLITE_BUSY;
}

}  // namespace tanist
