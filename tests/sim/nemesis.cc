// The faults of a run: which, when and whom, drawn from the seed.
#include <algorithm>

#include "tests/sim/world.h"

namespace tanist::sim {

using namespace failover;

namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

}  // namespace

void World::plan_fault() {
    if (healing_ || oracle_.breach()) return;
    fault();
    const auto spread = static_cast<uint64_t>(2 * swarm_.fault_every_ns);
    at(now_ + 10 * kMs + static_cast<int64_t>(chance_.below(spread)), [this] { plan_fault(); });
}

void World::fault() {
    ++faults_;
    if (swarm_.only_minorities) return isolate_minority();
    const std::pair<uint32_t, std::function<void()>> kinds[] = {
        {swarm_.partitions, [this] { partition(false); }},
        {swarm_.one_way, [this] { partition(true); }},
        {swarm_.crashes, [this] { crash_one(false); }},
        {swarm_.reboots, [this] { crash_one(true); }},
        {swarm_.pauses, [this] { pause_one(false); }},
        {swarm_.vm_pauses, [this] { pause_one(true); }},
        {swarm_.slow_disks, [this] { slow_one(false); }},
        {swarm_.hung_disks, [this] { slow_one(true); }},
        {swarm_.switchovers, [this] { switch_over(); }},
        {swarm_.app_exits, [this] { app_exit(); }},
        {swarm_.operator_pauses, [this] { operator_pause(chance_.permille(300)); }},
        {swarm_.orders, [this] { order_promotion(VoteKind::ordered); }},
        {swarm_.lost_ballots, [this] { lose_a_ballot(); }},
        {swarm_.drifts, [this] { redraw_clock(); }},
        {swarm_.restarts_of_others, [this] { restart_others(); }},
        {2, [this] { heal_network(); }},
    };
    uint64_t total = 0;
    for (const auto& kind : kinds) total += kind.first;
    uint64_t pick = chance_.below(total);
    for (const auto& kind : kinds) {
        if (pick < kind.first) return kind.second();
        pick -= kind.first;
    }
}

SimNode* World::any_node() {
    return nodes_[static_cast<size_t>(chance_.below(nodes_.size()))].get();
}

SimNode* World::primary() {
    for (auto& node : nodes_) {
        if (node->passes_gate()) return node.get();
    }
    return nullptr;
}

// Every node gets a side; two sides do not hear each other, or only one of them the other.
void World::partition(bool one_way) {
    heal_network();
    std::vector<bool> side;
    for (size_t i = 0; i < nodes_.size(); ++i) side.push_back(chance_.permille(500));
    if (chance_.permille(300)) {  // one alone: often the primary
        std::fill(side.begin(), side.end(), false);
        SimNode* one = chance_.permille(500) && primary() != nullptr ? primary() : any_node();
        side[static_cast<size_t>(one->number())] = true;
    }
    for (size_t from = 0; from < nodes_.size(); ++from) {
        for (size_t to = 0; to < nodes_.size(); ++to) {
            if (side[from] == side[to]) continue;
            if (!one_way || side[from]) blocked_[from][to] = true;
        }
    }
    note(-1, one_way ? "one_way_partition" : "partition", 0, 0);
    at(now_ + chance_.between(100 * kMs, 15 * kSecond), [this] {
        if (chance_.permille(500)) heal_network();
    });
}

void World::heal_network() {
    for (auto& row : blocked_) std::fill(row.begin(), row.end(), false);
}

// V2: a minority without the primary is cut off, wholly or in one direction.
void World::isolate_minority() {
    heal_network();
    SimNode* holder = primary();
    if (holder == nullptr) return;
    const size_t most = (nodes_.size() - 1) / 2;
    for (size_t i = 0; i < most; ++i) {
        const size_t victim = static_cast<size_t>(any_node()->number());
        if (static_cast<int>(victim) == holder->number()) continue;
        const uint64_t how = chance_.below(3);
        for (size_t other = 0; other < nodes_.size(); ++other) {
            if (how != 1) blocked_[victim][other] = true;
            if (how != 0) blocked_[other][victim] = true;
        }
    }
    note(-1, "minority", 0, 0);
}

void World::crash_one(bool reboot) {
    SimNode* node = chance_.permille(300) && primary() != nullptr ? primary() : any_node();
    if (!node->up()) return;
    node->crash(reboot);
    at(now_ + chance_.between(kMs, 8 * kSecond), [node] {
        if (!node->up()) node->start();
    });
}

// The primary is cut off, and all others restart while its lease may live (N4 of the
// specification).
void World::restart_others() {
    SimNode* holder = primary();
    if (holder == nullptr) return;
    heal_network();
    const size_t alone = static_cast<size_t>(holder->number());
    for (size_t other = 0; other < nodes_.size(); ++other) {
        if (other != alone) blocked_[alone][other] = blocked_[other][alone] = true;
    }
    note(holder->number(), "others_restart", 0, 0);
    for (auto& node : nodes_) {
        if (node.get() == holder || !node->up()) continue;
        node->crash(chance_.permille(500));
        SimNode* one = node.get();
        at(now_ + chance_.between(kMs, 200 * kMs), [one] {
            if (!one->up()) one->start();
        });
    }
}

void World::pause_one(bool virtual_machine) {
    SimNode* node = chance_.permille(500) && primary() != nullptr ? primary() : any_node();
    if (!node->usable()) return;
    node->pause(virtual_machine);
    note(node->number(), virtual_machine ? "vm_pause" : "stop", 0, 0);
    const uint64_t incarnation = node->incarnation();
    at(now_ + chance_.between(10 * kMs, 8 * kSecond), [this, node, incarnation] {
        if (node->incarnation() != incarnation) return;
        note(node->number(), "continue", 0, 0);
        node->resume();
    });
}

void World::slow_one(bool hang) {
    SimNode* node = any_node();
    (hang ? node->hang_until : node->slow_until) = now_ + chance_.between(100 * kMs, 6 * kSecond);
    note(node->number(), hang ? "disk_hangs" : "disk_slow", 0, 0);
}

void World::switch_over() {
    SimNode* from = primary();
    SimNode* to = any_node();
    if (from == nullptr) return;
    note(from->number(), "switchover", static_cast<uint64_t>(to->number()), 0);
    from->step(event::SwitchOver{key_of(to->number())});
}

void World::app_exit() {
    if (SimNode* node = primary()) node->step(event::AppGone{});
}

void World::operator_pause(bool paused) {
    if (SimNode* node = primary()) node->step(event::Pause{paused});
}

void World::order_promotion(VoteKind kind) {
    SimNode* node = any_node();
    if (!node->usable() || node->is_witness()) return;
    OperatorCert order;
    order.cluster = swarm_.config.cluster;
    order.group = swarm_.config.group;
    order.kind = kind;
    order.target = key_of(node->number());
    order.nonce = chance_.raw();
    const SimSigner operator_key(200);
    order.by = operator_key.self();
    order.signature = operator_key.sign(signed_bytes(order));
    note(node->number(), "order", 0, 0);
    node->step(event::Promote{order});
}

// One at a time: two that both forgot can learn nothing from each other, and wait for an operator.
void World::lose_a_ballot() {
    for (auto& node : nodes_) {
        if (!node->up() || node->core()->view().lost_ballot) return;
    }
    SimNode* node = any_node();
    node->crash(true);
    node->lose_ballot();
    note(node->number(), "lose_ballot", 0, 0);
    node->start();
}

void World::redraw_clock() {
    SimNode* node = any_node();
    node->clock().set_rate(chance_.between(-swarm_.drift_ppm, swarm_.drift_ppm), now_);
    note(node->number(), "drift", 0, 0);
    node->schedule_tick();
}

}  // namespace tanist::sim
