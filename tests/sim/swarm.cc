#include "tests/sim/swarm.h"

#include <algorithm>

#include "tests/sim/sim_signer.h"

namespace tanist::sim {
namespace {

using namespace std::chrono_literals;
using namespace failover;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

struct Shape {
    int data, witnesses, k;
};
// Odd and even, with and without witnesses; k below and at the majority.
constexpr Shape kShapes[] = {{3, 0, 1}, {3, 0, 1}, {2, 1, 1}, {2, 1, 1}, {3, 0, 2}, {3, 2, 1},
                             {5, 0, 2}, {5, 0, 1}, {4, 1, 2}, {2, 1, 0}, {3, 0, 0}, {2, 0, 1}};

void draw_config(Swarm& swarm, const Shape& shape, Chance& chance) {
    Config& config = swarm.config;
    config.cluster.bytes.fill(0xc1);
    config.group.bytes.fill(0x61);
    config.id = {Epoch(0), 1};
    for (int i = 0; i < shape.data + shape.witnesses; ++i) {
        Member member;
        member.node = key_of(i);
        member.witness = i >= shape.data;
        member.priority = static_cast<uint16_t>(chance.between(50, 150));
        config.members.push_back(member);
    }
    config.operators = {key_of(200)};
    config.sync_k = static_cast<uint8_t>(shape.k);
    if (chance.permille(150)) config.level = AckLevel::received;
    if (chance.permille(100)) config.level = AckLevel::applied;
    if (shape.k > 0 && chance.permille(500)) config.on_unavailable = OnUnavailable::degrade;
    if (shape.k > 0 && chance.permille(150)) config.lease_mode = LeaseMode::writes_only;
    if (shape.k == 0 && chance.permille(600)) {
        config.lag_max_on_failover = static_cast<uint64_t>(chance.between(1, 1000));
    }
    if (chance.permille(300)) config.on_app_exit = OnAppExit::release;
    const uint64_t profile = chance.below(10);
    config.timing = timing_of(profile < 6   ? TimingProfile::standard
                              : profile < 9 ? TimingProfile::lan
                                            : TimingProfile::wan);
}

void draw_faults(Swarm& swarm, Chance& chance) {
    swarm.fault_every_ns = chance.between(200, 5000) * kMs;
    for (uint32_t* weight : {&swarm.partitions, &swarm.one_way, &swarm.crashes, &swarm.reboots,
                             &swarm.pauses, &swarm.slow_disks, &swarm.hung_disks,
                             &swarm.switchovers, &swarm.drifts, &swarm.restarts_of_others}) {
        if (chance.permille(600)) *weight = static_cast<uint32_t>(chance.between(1, 10));
    }
    for (uint32_t* weight :
         {&swarm.app_exits, &swarm.operator_pauses, &swarm.lost_ballots, &swarm.orders}) {
        if (chance.permille(200)) *weight = static_cast<uint32_t>(chance.between(1, 3));
    }
}

}  // namespace

Swarm draw_swarm(uint64_t seed) {
    Chance chance(seed ^ 0x5eed);
    Swarm swarm;
    const Shape shape = kShapes[chance.below(std::size(kShapes))];
    swarm.data = shape.data;
    swarm.witnesses = shape.witnesses;
    draw_config(swarm, shape, chance);
    const bool wan = swarm.config.timing.lease > 5s;
    swarm.delay_min_ns = chance.between(50, wan ? 40'000 : 1'000) * 1000;
    swarm.delay_spread_ns = chance.between(10, wan ? 60'000 : 4'000) * 1000;
    if (chance.permille(500)) swarm.loss_permille = static_cast<uint64_t>(chance.between(1, 300));
    if (chance.permille(500)) swarm.repeat_permille = static_cast<uint64_t>(chance.between(1, 500));
    if (chance.permille(500)) swarm.late_permille = static_cast<uint64_t>(chance.between(1, 100));
    swarm.sync_min_ns = chance.between(50, 2'000) * 1000;
    swarm.sync_spread_ns = chance.between(50, 8'000) * 1000;
    swarm.write_every_ns = chance.between(20, 400) * kMs;
    const int64_t bound = swarm.config.timing.drift_permille * 1000;
    swarm.drift_ppm = chance.permille(700) ? chance.between(0, bound) : bound;
    draw_faults(swarm, chance);
    if (chance.permille(80)) {
        swarm.beyond_bound = true;
        swarm.drift_ppm = 400'000;
        swarm.vm_pauses = 5;
    }
    if (chance.permille(80)) {
        swarm.only_minorities = true;
        swarm.loss_permille = std::min<uint64_t>(swarm.loss_permille, 20);
        swarm.late_permille = 0;
    }
    swarm.seconds = chance.between(20, 60);
    if (wan) swarm.seconds *= 3;
    return swarm;
}

std::string describe(const Swarm& swarm) {
    const Config& config = swarm.config;
    std::string text = std::to_string(swarm.data) + "+" + std::to_string(swarm.witnesses) +
                       " k=" + std::to_string(config.sync_k);
    text += " level=" + std::to_string(static_cast<int>(config.level));
    text += config.on_unavailable == OnUnavailable::degrade ? " degrade" : " block";
    if (config.lease_mode == LeaseMode::writes_only) text += " writes_only";
    if (config.lag_max_on_failover > 0) text += " lossy";
    text += " lease=" + std::to_string(config.timing.lease / 1ms) + "ms";
    text += " loss=" + std::to_string(swarm.loss_permille);
    text += " drift=" + std::to_string(swarm.drift_ppm);
    if (swarm.beyond_bound) text += " beyond_bound";
    if (swarm.only_minorities) text += " only_minorities";
    return text + " seconds=" + std::to_string(swarm.seconds);
}

}  // namespace tanist::sim
