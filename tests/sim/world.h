// One virtual world: nodes, network, time. Everything that happens is an event with a moment and a
// number, so their order is total; everything random comes from one seed. Same seed, same run.
#pragma once

#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "tests/sim/oracle.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/swarm.h"

namespace tanist::sim {

struct Outcome {
    std::optional<std::string> breach;
    uint64_t trace_hash = 0;
    uint64_t events = 0;
    int64_t virtual_ns = 0;
    size_t tokens = 0;
    uint64_t client_acks = 0;
    uint64_t lease_overlaps = 0;
    uint64_t faults = 0;
    uint64_t discarded = 0;
    bool blocked_rightly = false;   // at the end no quorum was possible, and none was taken
    std::vector<std::string> last;  // events, if they were kept
};

struct RunOptions {
    uint64_t seed = 0;
    size_t trace_kept = 0;   // the last so many events
    bool vm_pauses = false;  // the fault that no clock sees
    std::optional<Swarm> swarm;
};
Outcome run_world(const RunOptions& options);

class World {
  public:
    World(uint64_t seed, Swarm swarm, size_t trace_kept);
    Outcome run();

    // For the nodes.
    int64_t now() const { return now_; }
    Chance& chance() { return chance_; }
    Oracle& oracle() { return oracle_; }
    const Swarm& swarm() const { return swarm_; }
    void at(int64_t when, std::function<void()> what);
    void tick_at(int64_t when, int node);
    void send(int from, int to, SimMessage message);
    int64_t sync_time(const SimNode& node);
    void note(int node, const char* what, uint64_t a, uint64_t b);
    std::vector<NodeFacts> facts() const;
    int count() const { return static_cast<int>(nodes_.size()); }
    uint64_t next_value() { return ++value_; }

  private:
    struct Event {
        int64_t when;
        uint64_t seq;
        int node;  // >= 0: a tick of that node; else `slot`
        uint32_t slot;
        bool operator>(const Event& other) const {
            return when != other.when ? when > other.when : seq > other.seq;
        }
    };
    void step_until(int64_t end);
    void dispatch(const Event& event);
    // Faults.
    void plan_fault();
    void fault();
    void partition(bool one_way);
    void heal_network();
    void crash_one(bool reboot);
    void pause_one(bool virtual_machine);
    void slow_one(bool hang);
    void switch_over();
    void operator_pause(bool paused);
    void order_promotion(failover::VoteKind kind);
    void lose_a_ballot();
    void redraw_clock();
    void isolate_minority();
    void restart_others();
    void app_exit();
    SimNode* any_node();
    SimNode* primary();
    // The end.
    void heal();
    bool converged();
    bool quorum_possible();
    void resume_cluster();
    void clients();
    void canaries();
    void check_convergence();

    const uint64_t seed_;
    const Swarm swarm_;
    Chance chance_;
    Oracle oracle_;
    int64_t now_ = 0;
    uint64_t seq_ = 0;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
    std::vector<std::function<void()>> slots_;
    std::vector<uint32_t> free_slots_;
    std::vector<std::unique_ptr<SimNode>> nodes_;
    std::vector<std::vector<bool>> blocked_;
    bool healing_ = false;
    bool quiet_ = false;  // clients have stopped
    uint64_t loss_permille_, repeat_permille_, late_permille_;
    uint64_t value_ = 0;
    uint64_t hash_ = 0;
    uint64_t events_ = 0;
    uint64_t faults_ = 0;
    Outcome outcome_;
    const size_t trace_kept_;
    std::vector<std::string> trace_;
};

}  // namespace tanist::sim
