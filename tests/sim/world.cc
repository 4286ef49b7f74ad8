#include "tests/sim/world.h"

#include <algorithm>

#include "failover/core/mutation.h"

namespace tanist::sim {

using namespace failover;

namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

}  // namespace

World::World(uint64_t seed, Swarm swarm, size_t trace_kept)
    : seed_(seed),
      swarm_(std::move(swarm)),
      chance_(seed),
      oracle_(swarm_),
      loss_permille_(swarm_.loss_permille),
      repeat_permille_(swarm_.repeat_permille),
      late_permille_(swarm_.late_permille),
      trace_kept_(trace_kept) {
    const int count = swarm_.data + swarm_.witnesses;
    blocked_.assign(static_cast<size_t>(count), std::vector<bool>(static_cast<size_t>(count)));
    for (int i = 0; i < count; ++i) {
        nodes_.push_back(std::make_unique<SimNode>(*this, i));
        nodes_.back()->clock() = SimClock(chance_.between(kSecond, 1000 * kSecond),
                                          chance_.between(-swarm_.drift_ppm, swarm_.drift_ppm), 0);
    }
}

// ---- time

void World::at(int64_t when, std::function<void()> what) {
    uint32_t slot;
    if (free_slots_.empty()) {
        slot = static_cast<uint32_t>(slots_.size());
        slots_.push_back(std::move(what));
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
        slots_[slot] = std::move(what);
    }
    queue_.push({when, ++seq_, -1, slot});
}

void World::tick_at(int64_t when, int node) { queue_.push({when, ++seq_, node, 0}); }

void World::dispatch(const Event& event) {
    if (event.node >= 0) {
        SimNode& node = *nodes_[static_cast<size_t>(event.node)];
        if (node.tick_at_ == event.when) node.tick();
        return;
    }
    const std::function<void()> what = std::move(slots_[event.slot]);
    free_slots_.push_back(event.slot);
    what();
}

void World::step_until(int64_t end) {
    while (!queue_.empty() && queue_.top().when <= end && !oracle_.breach()) {
        const Event event = queue_.top();
        queue_.pop();
        now_ = event.when;
        ++events_;
        dispatch(event);
        oracle_.check_gates(facts());
    }
    now_ = std::max(now_, end);
}

void World::note(int node, const char* what, uint64_t a, uint64_t b) {
    uint64_t h = hash_ ^ static_cast<uint64_t>(now_) ^ (static_cast<uint64_t>(node + 1) << 56);
    h = (h ^ a) * 0x9e3779b97f4a7c15u;
    h = (h ^ b ^ (h >> 31)) * 0xbf58476d1ce4e5b9u;
    for (const char* c = what; *c != 0; ++c) h = (h ^ static_cast<uint8_t>(*c)) * 0x100000001b3u;
    hash_ = h;
    if (trace_kept_ == 0) return;
    if (trace_.size() >= 2 * trace_kept_) {
        trace_.erase(trace_.begin(), trace_.begin() + static_cast<long>(trace_kept_));
    }
    char line[256];
    std::snprintf(line, sizeof line, "%10.4f s  n%d  %s %llu %llu", static_cast<double>(now_) / 1e9,
                  node, what, static_cast<unsigned long long>(a),
                  static_cast<unsigned long long>(b));
    trace_.emplace_back(line);
}

std::vector<NodeFacts> World::facts() const {
    std::vector<NodeFacts> all;
    all.reserve(nodes_.size());
    for (const auto& node : nodes_) {
        NodeFacts facts;
        facts.number = node->number();
        facts.up = node->up();
        facts.frozen = node->vm_paused_;
        facts.local = node->clock().at(now_);
        facts.log = node->is_witness() ? nullptr : &node->log();
        facts.gate = node->gate();
        facts.guard = swarm_.config.timing.guard;
        all.push_back(facts);
    }
    return all;
}

// ---- network

void World::send(int from, int to, SimMessage message) {
    if (to < 0 || to >= count()) return;
    const int copies = chance_.permille(repeat_permille_) ? 2 : 1;
    auto shared = std::make_shared<const SimMessage>(std::move(message));
    for (int i = 0; i < copies; ++i) {
        if (chance_.permille(loss_permille_)) continue;
        if (blocked_[static_cast<size_t>(from)][static_cast<size_t>(to)]) continue;
        int64_t delay =
            swarm_.delay_min_ns +
            static_cast<int64_t>(chance_.below(static_cast<uint64_t>(swarm_.delay_spread_ns + 1)));
        if (chance_.permille(late_permille_)) delay += chance_.between(0, 3 * kSecond);
        at(now_ + delay, [this, from, to, shared] {
            SimNode& node = *nodes_[static_cast<size_t>(to)];
            if (node.paused()) {
                node.held_.emplace_back(from, shared);
            } else {
                node.deliver(from, *shared);
            }
        });
    }
}

int64_t World::sync_time(const SimNode& node) {
    int64_t time = chance_.between(swarm_.sync_min_ns, swarm_.sync_min_ns + swarm_.sync_spread_ns);
    if (now_ < node.slow_until) time += chance_.between(50 * kMs, 500 * kMs);
    if (now_ < node.hang_until) time += node.hang_until - now_;
    return time;
}

// ---- clients

void World::clients() {
    if (oracle_.breach() || quiet_) return;
    for (auto& node : nodes_) {
        if (node->passes_gate()) node->client_write(next_value());
    }
    const auto spread = static_cast<uint64_t>(2 * swarm_.write_every_ns);
    at(now_ + kMs + static_cast<int64_t>(chance_.below(spread)), [this] { clients(); });
}

// ---- the whole run

Outcome World::run() {
    for (auto& node : nodes_) {
        SimNode* one = node.get();
        at(chance_.between(0, 500 * kMs), [one] { one->start(); });
    }
    at(kSecond, [this] { clients(); });
    at(3 * kSecond, [this] { plan_fault(); });
    canaries();
    step_until(10 * kSecond);
    const size_t tokens = oracle_.tokens();
    step_until(swarm_.seconds * kSecond);
    if (swarm_.only_minorities && tokens > 0 && oracle_.tokens() != tokens) {
        oracle_.fail("V2 NoNeedlessFailover", "a primary with a majority was replaced");
    }
    if (!oracle_.breach()) heal();
    outcome_.breach = oracle_.breach();
    outcome_.trace_hash = hash_;
    outcome_.events = events_;
    outcome_.virtual_ns = now_;
    outcome_.tokens = oracle_.tokens();
    outcome_.client_acks = oracle_.client_acks();
    outcome_.lease_overlaps = oracle_.lease_overlaps();
    outcome_.faults = faults_;
    outcome_.discarded = oracle_.discarded();
    const size_t from = trace_.size() > trace_kept_ ? trace_.size() - trace_kept_ : 0;
    outcome_.last.assign(trace_.begin() + static_cast<long>(from), trace_.end());
    return outcome_;
}

// A small write now and then shows that the disk of an idle log still works.
void World::canaries() {
    for (auto& node : nodes_) {
        if (!node->usable() || now_ < node->hang_until) continue;
        node->progress_ = node->clock().at(now_);
        node->step(event::Progress{});
    }
    at(now_ + swarm_.config.timing.lease.count() / 4, [this] { canaries(); });
}

// V1: everything heals; within ten promises there is one open primary, it commits, and all have
// the same log. Where no quorum is possible any more (all that is left is suspect), none was taken.
void World::heal() {
    healing_ = true;
    note(-1, "heal", 0, 0);
    heal_network();
    loss_permille_ = repeat_permille_ = late_permille_ = 0;
    for (auto& node : nodes_) {
        node->slow_until = node->hang_until = 0;
        node->resume();
        if (!node->up()) node->start();
    }
    // A paused cluster elects nobody by itself: an operator resumes it, or names a primary.
    const int64_t promise = swarm_.config.timing.promise.count();
    const int64_t end = now_ + 10 * promise + 5 * kSecond;
    const uint64_t acks = oracle_.client_acks();
    while (now_ < end && !oracle_.breach()) {
        step_until(std::min(end, now_ + promise / 2));
        if (converged()) break;
        // Clients go on until the healed cluster has served one; then the logs may come to rest.
        quiet_ = oracle_.client_acks() > acks;
        resume_cluster();
    }
    if (!oracle_.breach()) check_convergence();
}

void World::resume_cluster() {
    bool paused = false;
    for (auto& node : nodes_) {
        paused = paused || (node->up() && node->core()->view().policy.paused);
    }
    if (!paused) return;
    if (primary() != nullptr) {
        primary()->step(event::Pause{false});
    } else {
        // As the daemon does: where nobody waited for replicas, a promotion accepts what it lacks.
        const bool gives_up = swarm_.config.sync_k == 0;
        order_promotion(gives_up ? VoteKind::accept_loss : VoteKind::ordered);
    }
}

bool World::converged() {
    SimNode* one = primary();
    if (one == nullptr || !one->passes_gate()) return false;
    if (one->core()->view().policy.paused || !quiet_) return false;
    for (auto& node : nodes_) {
        if (node->is_witness()) continue;
        if (node->log().end() != one->log().end()) return false;
        if (node->applied() != one->log().end().position.lsn) return false;
    }
    return one->core()->view().committed.lsn == one->log().end().position.lsn;
}

// Is there a node that could be elected: not suspect, and with a quorum of voters whose ballots are
// known and whose logs do not go further than its own?
bool World::quorum_possible() {
    uint8_t k = swarm_.config.sync_k;
    PolicyId newest;
    for (auto& node : nodes_) {
        const Ballot& ballot = node->core()->voter().ballot();
        if (ballot.policy.id <= newest) continue;
        newest = ballot.policy.id;
        k = ballot.policy.k;
    }
    const bool lossy = swarm_.config.lag_max_on_failover > 0;
    for (auto& heir : nodes_) {
        if (!heir->core()->voter().electable()) continue;
        std::vector<NodeKey> all, data;
        for (auto& node : nodes_) {
            const Ballot& ballot = node->core()->voter().ballot();
            const Position end = heir->log().end().position;
            const bool further = node->log().end().position > end || ballot.commit_hint > end;
            if (ballot.lost || further) continue;
            all.push_back(key_of(node->number()));
            if (!ballot.suspect && !node->is_witness()) data.push_back(key_of(node->number()));
        }
        const bool enough = lossy || meets_every_ack_set(swarm_.config, data, k);
        if (is_majority(swarm_.config, all) && enough) return true;
    }
    return false;
}

void World::check_convergence() {
    if (converged()) {
        for (auto& node : nodes_) {
            if (!node->is_witness()) return oracle_.check_end(primary()->log());
        }
    }
    if (!quorum_possible()) {
        outcome_.blocked_rightly = true;
        return;
    }
    std::string state;
    for (auto& node : nodes_) state += "\n    " + node->describe();
    oracle_.fail("V1 Converges",
                 "healed long ago and still not one primary with equal logs" + state);
}

Outcome run_world(const RunOptions& options) {
    Swarm swarm = options.swarm ? *options.swarm : draw_swarm(options.seed);
    if (options.vm_pauses) swarm.vm_pauses = 10;
    World world(options.seed, std::move(swarm), options.trace_kept);
    return world.run();
}

}  // namespace tanist::sim
