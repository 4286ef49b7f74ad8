#include "failover/core/config.h"

#include <algorithm>

namespace tanist::failover {

using namespace std::chrono_literals;

Timing timing_of(TimingProfile profile) {
    Timing timing;
    timing.guard = 50ms;
    timing.handover_window = 500ms;
    timing.drain = 500ms;
    timing.degrade_after = 3s;
    switch (profile) {
        case TimingProfile::standard:
            timing.heartbeat = 250ms;
            timing.lease = 2000ms;
            timing.promise = 2600ms;
            timing.drift_permille = 100;
            timing.round = 20ms;
            break;
        case TimingProfile::lan:
            timing.heartbeat = 100ms;
            timing.lease = 600ms;
            timing.promise = 700ms;
            timing.drift_permille = 2;
            timing.round = 20ms;
            break;
        case TimingProfile::wan:
            timing.heartbeat = 1s;
            timing.lease = 8s;
            timing.promise = 10200ms;
            timing.drift_permille = 100;
            timing.round = 400ms;
            timing.handover_window = 4s;
            timing.drain = 4s;
            timing.degrade_after = 10s;
            break;
    }
    return timing;
}

Nanos promise_min(const Timing& timing) {
    const int64_t drift = timing.drift_permille;
    const int64_t needed = timing.lease.count() / 1000 * (1000 + drift) + timing.guard.count();
    return Nanos(needed / (1000 - drift) * 1000 + 1000);
}

std::string why_invalid(const Timing& timing) {
    if (timing.heartbeat <= 0ns || timing.lease <= 0ns || timing.round <= 0ns) {
        return "heartbeat, lease and round must be longer than zero";
    }
    if (timing.lease > 1h || timing.promise > 2h || timing.drain > 1h ||
        timing.handover_window > 1h || timing.degrade_after > 24h || timing.round > 1min) {
        return "a time of the failover settings is unreasonably long";
    }
    if (timing.drift_permille >= 500) return "a clock drift of half is no clock";
    if (timing.heartbeat > timing.lease / 4) {
        return "the heartbeat must be at most a quarter of the lease, so that one lost message "
               "does not cost the lease";
    }
    if (timing.handover_window < 0ns || timing.drain < 0ns || timing.degrade_after < 0ns) {
        return "a time of the failover settings is less than zero";
    }
    // Divided, not multiplied: these bytes may come from elsewhere.
    if (timing.guard < 0ns || timing.guard > timing.lease / 4) {
        return "the guard time must be at most a quarter of the lease";
    }
    if (timing.promise < promise_min(timing)) {
        return "the promise is too short for this lease, guard and clock drift; it must be at "
               "least " +
               std::to_string(promise_min(timing) / 1ms + 1) + " ms";
    }
    return "";
}

namespace {

const Member* find_in(const std::vector<Member>& side, const NodeKey& node) {
    for (const Member& member : side) {
        if (member.node == node) return &member;
    }
    return nullptr;
}

bool contains(NodeSet nodes, const NodeKey& node) {
    return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

std::string why_invalid_side(const std::vector<Member>& side, const Config& config) {
    if (side.size() > kMembersMax) return "a group has at most 32 members";
    size_t syncing = 0;
    for (size_t i = 0; i < side.size(); ++i) {
        if (side[i].node.is_zero()) return "a member has no key";
        if (i > 0 && !(side[i - 1].node < side[i].node)) return "members are not sorted by key";
        if (side[i].witness && side[i].nosync) return "a witness has no data to sync";
        if (side[i].syncs()) ++syncing;
    }
    if (syncing == 0) return "a group needs a member that holds data and syncs";
    if (config.sync_k >= syncing) {
        return "commits wait for " + std::to_string(config.sync_k) +
               " replicas, and there are only " + std::to_string(syncing - 1);
    }
    return "";
}

}  // namespace

const Member* Config::find(const NodeKey& node) const {
    const Member* member = find_in(members, node);
    return member != nullptr ? member : find_in(leaving, node);
}

std::vector<NodeKey> Config::voters() const {
    std::vector<NodeKey> all;
    for (const Member& member : members) all.push_back(member.node);
    for (const Member& member : leaving) {
        if (find_in(members, member.node) == nullptr) all.push_back(member.node);
    }
    return all;
}

std::string why_invalid(const Config& config) {
    if (config.members.empty()) return "a group needs members";
    std::string why = why_invalid_side(config.members, config);
    if (why.empty() && config.joint()) why = why_invalid_side(config.leaving, config);
    if (!why.empty()) return why;
    if (config.operators.size() > kOperatorsMax) return "at most 8 operator keys";
    if (config.lag_max_on_failover > 0 && config.sync_k > 0) {
        return "max_lag_on_failover is for asynchronous groups: with synchronous commits an "
               "election never loses what was acknowledged";
    }
    if (config.lease_mode == LeaseMode::writes_only && config.sync_k == 0) {
        return "lease_mode writes_only needs synchronous commits: without them only the lease "
               "protects writes";
    }
    return why_invalid(config.timing);
}

bool is_majority(const Config& config, NodeSet nodes) {
    for (const auto* side : {&config.members, &config.leaving}) {
        if (side->empty()) continue;
        size_t count = 0;
        for (const Member& member : *side) count += contains(nodes, member.node);
        if (count < side->size() / 2 + 1) return false;
    }
    return true;
}

bool meets_every_ack_set(const Config& config, NodeSet data_nodes, uint8_t k) {
    for (const auto* side : {&config.members, &config.leaving}) {
        if (side->empty()) continue;
        size_t syncing = 0;
        size_t count = 0;
        for (const Member& member : *side) {
            if (!member.syncs()) continue;
            ++syncing;
            count += contains(data_nodes, member.node);
        }
        if (count + k < syncing || count == 0) return false;
    }
    return true;
}

uint8_t k_max(const Config& config) {
    size_t least = kMembersMax;
    for (const auto* side : {&config.members, &config.leaving}) {
        if (side->empty()) continue;
        size_t syncing = 0;
        for (const Member& member : *side) syncing += member.syncs();
        least = std::min(least, syncing);
    }
    return static_cast<uint8_t>(least == 0 ? 0 : least - 1);
}

}  // namespace tanist::failover
