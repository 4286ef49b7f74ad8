// What one seed's world is like: its shape, settings, network, disks, clocks and faults are all
// drawn from the seed, so that no single setting hides a fault (swarm testing).
#pragma once

#include <string>

#include "failover/core/config.h"
#include "failover/core/standing.h"

namespace tanist::sim {

using failover::Dice;

// Random choices with the bounds in one place.
class Chance {
  public:
    explicit Chance(uint64_t seed) : dice_(seed) {}
    uint64_t raw() { return dice_.next(); }
    uint64_t below(uint64_t bound) { return bound == 0 ? 0 : dice_.next() % bound; }
    int64_t between(int64_t from, int64_t to) {
        return from + static_cast<int64_t>(below(static_cast<uint64_t>(to - from + 1)));
    }
    bool permille(uint64_t p) { return below(1000) < p; }

  private:
    Dice dice_;
};

struct Swarm {
    int data = 3;
    int witnesses = 0;
    failover::Config config;
    // Network.
    int64_t delay_min_ns = 0;
    int64_t delay_spread_ns = 0;
    uint64_t loss_permille = 0;
    uint64_t repeat_permille = 0;
    uint64_t late_permille = 0;  // a message that comes very late
    // Disk.
    int64_t sync_min_ns = 0;
    int64_t sync_spread_ns = 0;
    // Clients.
    int64_t write_every_ns = 0;
    // Faults: the mean time between two, and the weight of each kind.
    int64_t fault_every_ns = 0;
    uint32_t partitions = 0, one_way = 0, crashes = 0, reboots = 0, pauses = 0, vm_pauses = 0,
             slow_disks = 0, hung_disks = 0, switchovers = 0, app_exits = 0, operator_pauses = 0,
             lost_ballots = 0, drifts = 0, orders = 0, restarts_of_others = 0;
    // Clocks run at most this much fast or slow.
    int64_t drift_ppm = 0;
    bool beyond_bound = false;     // more than the settings allow: LEASE may fail, FENCED must not
    bool only_minorities = false;  // V2: the primary always keeps a majority
    int64_t seconds = 0;           // with faults; then everything heals
};

Swarm draw_swarm(uint64_t seed);
std::string describe(const Swarm& swarm);

}  // namespace tanist::sim
