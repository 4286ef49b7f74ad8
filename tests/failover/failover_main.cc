// Real processes, real faults, a judge: see docs/testing.md, "failover".
//
//   failover_main --build DIR [--ack RULE] [--rounds N] [--seconds N] [--seed N] [--only FAULT]
//                 [--failover automatic] [--settings 'failover_profile = "lan"']
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iterator>
#include <stdexcept>

#include "tests/failover/program.h"
#include "tests/failover/verdict.h"
#include "tests/support/process/arguments.h"
#include "tests/support/process/dice.h"

namespace {

using namespace tanist::torture;
using tanist::testing::Arguments;
using tanist::testing::Dice;

struct Rig {
    Cluster& cluster;
    Dice& dice;
    bool automatic = false;
    std::string trouble = {};  // why the round cannot go on

    // Somebody else takes over: an operator, or the voters.
    void take_over_from(int old) {
        if (automatic) {
            if (!cluster.one_primary_soon(old)) trouble = "nobody was elected";
        } else {
            const std::string refused = cluster.promote_any(old);
            if (!refused.empty()) trouble = "no promotion: " + refused;
        }
    }
    void somebody_writes() {
        if (trouble.empty() && !cluster.any_writes_soon()) trouble = "nobody acknowledges anything";
    }
    void writes(int node) {
        if (trouble.empty() && !cluster.writes_soon(node)) {
            trouble = Cluster::name(node) + " acknowledges nothing";
        }
    }
};

// -- faults. Each begins with everything healthy and a primary that writes, and ends with whatever
// is needed for the cluster to come together by itself.

void switchover(Rig& rig, int old) {
    const int next = (old + 1 + static_cast<int>(rig.dice.below(2))) % Cluster::kNodes;
    // By endpoint: names are those that the first primary gave.
    const CommandEnd end = rig.cluster.tanist(
        old, "switchover " + rig.cluster.path(old) + " --to " + Network::endpoint(next));
    if (end.code != 0) rig.trouble = "switchover: " + end.text;
    rig.writes(next);
}

void kill_primary(Rig& rig, int old) {
    rig.cluster.kill_node(old);
    rig.take_over_from(old);
    rig.somebody_writes();
    rig.cluster.start_daemon(old);
    rig.cluster.start_client(old);
}

// The whole node stops in mid-commit, others take over, it goes on.
void freeze_primary(Rig& rig, int old) {
    rig.cluster.signal_node(old, SIGSTOP);
    rig.take_over_from(old);
    rig.somebody_writes();
    rig.cluster.signal_node(old, SIGCONT);
}

// The daemon alone: its application goes on writing, or is refused.
void freeze_daemon(Rig& rig, int old) {
    rig.cluster.signal_daemon(old, SIGSTOP);
    rig.take_over_from(old);
    rig.somebody_writes();
    rig.cluster.signal_daemon(old, SIGCONT);
}

void cut_off_primary(Rig& rig, int old) {
    rig.cluster.network().isolate(old);
    rig.take_over_from(old);
    rig.somebody_writes();
    rig.cluster.network().heal();
}

// The primary hears everybody and nobody hears it, or the other way round.
void cut_one_way(Rig& rig, int old) {
    const bool deaf = rig.dice.chance(50);
    for (int other = 0; other < Cluster::kNodes; ++other) {
        if (other == old) continue;
        deaf ? rig.cluster.network().cut(other, old) : rig.cluster.network().cut(old, other);
    }
    rig.take_over_from(old);
    rig.somebody_writes();
    rig.cluster.network().heal();
}

// One link goes on and off; nobody should be replaced for it, and nothing be lost.
void flap(Rig& rig, int old) {
    const int other = (old + 1) % Cluster::kNodes;
    for (int i = 0; i < 20; ++i) {
        rig.cluster.network().cut(old, other);
        rig.cluster.network().cut(other, old);
        ::usleep(static_cast<useconds_t>(rig.dice.between(10, 200)) * 1000);  // the fault itself
        rig.cluster.network().heal();
        ::usleep(static_cast<useconds_t>(rig.dice.between(10, 200)) * 1000);
    }
    rig.somebody_writes();
}

// Wall clocks jump, each for itself, by up to some years: nobody is replaced for it.
void step_clocks(Rig& rig, int old) {
    for (int i = 0; i < 30; ++i) {
        const auto most = std::chrono::seconds(int64_t{1} << rig.dice.below(28));
        const int64_t by = rig.dice.between(-most.count(), most.count());
        rig.cluster.step_clock(static_cast<int>(rig.dice.below(Cluster::kNodes)),
                               std::chrono::seconds(by));
        ::usleep(static_cast<useconds_t>(rig.dice.between(5, 60)) * 1000);  // the fault itself
    }
    rig.writes(old);
}

void kill_replica(Rig& rig, int old) {
    const int other = (old + 1 + static_cast<int>(rig.dice.below(2))) % Cluster::kNodes;
    rig.cluster.kill_node(other);
    rig.writes(old);
    rig.cluster.start_daemon(other);
    rig.cluster.start_client(other);
}

void fill_replica(Rig& rig, int old) {
    const int other = (old + 1 + static_cast<int>(rig.dice.below(2))) % Cluster::kNodes;
    rig.cluster.fill_disk(other);
    rig.somebody_writes();
    rig.cluster.free_disk(other);
}

// Whatever the application is told meanwhile: afterwards somebody writes.
void fill_primary(Rig& rig, int old) {
    rig.cluster.fill_disk(old);
    ::usleep(static_cast<useconds_t>(rig.dice.between(200, 1500)) * 1000);  // the fault itself
    rig.cluster.free_disk(old);
    rig.somebody_writes();
}

struct Fault {
    const char* name;
    void (*strike)(Rig& rig, int primary);
};
constexpr Fault kFaults[] = {
    {"switchover", switchover},
    {"kill_primary", kill_primary},
    {"freeze_primary", freeze_primary},
    {"freeze_daemon", freeze_daemon},
    {"cut_off_primary", cut_off_primary},
    {"cut_one_way", cut_one_way},
    {"flap", flap},
    {"step_clocks", step_clocks},
    {"kill_replica", kill_replica},
    {"fill_replica", fill_replica},
    {"fill_primary", fill_primary},
};

std::string play_round(Rig& rig, const Fault& fault, const Promise& promise, Totals& totals) {
    Cluster& cluster = rig.cluster;
    const int old = cluster.primary();
    cluster.start_clients();
    if (!cluster.writes_soon(old)) return "the primary acknowledges nothing before the fault";
    if (!cluster.all_follow_soon(old)) return "a node does not follow before the fault";
    fault.strike(rig, old);
    cluster.network().heal();
    if (!rig.trouble.empty()) return rig.trouble;
    cluster.stop_clients();
    return judge(cluster, promise, totals);
}

// Which faults strike, and for how long.
struct Course {
    int64_t rounds = 0;
    int64_t seconds = 0;  // goes on until then; 0: `rounds`
    std::string only;     // the name of the one fault that is wanted
    Dice dice;

    // Each once in the order of the table, then by chance.
    const Fault& fault_of(int64_t round) {
        constexpr size_t kKinds = sizeof kFaults / sizeof *kFaults;
        const Fault* fault =
            &kFaults[static_cast<size_t>(round) < kKinds ? round : dice.below(kKinds)];
        for (const Fault& named : kFaults) {
            if (only == named.name) fault = &named;
        }
        return *fault;
    }
};

// "" or what is wrong.
std::string play_rounds(Cluster& cluster, const ClusterOptions& options, Course& course) {
    const Promise promise = promise_of(options);
    Totals totals;
    const int64_t until = boot_ns() + course.seconds * 1'000'000'000;
    for (int64_t round = 0; course.seconds > 0 ? boot_ns() < until : round < course.rounds;
         ++round) {
        const Fault& fault = course.fault_of(round);
        Rig rig{cluster, course.dice, options.automatic};
        const int64_t began = boot_ns();
        const std::string wrong = play_round(rig, fault, promise, totals);
        std::printf("round %lld %s: %s, %.1f s, %zu acknowledged, %zu unknown, %zu saved\n",
                    static_cast<long long>(round), fault.name, wrong.empty() ? "good" : "BAD",
                    static_cast<double>(boot_ns() - began) / 1e9, totals.acknowledged,
                    totals.unknown, totals.saved);
        std::fflush(stdout);
        if (!wrong.empty()) return wrong;
    }
    return "";
}

int play(Arguments& arguments, const std::string& directory) {
    ClusterOptions options;
    options.build = std::filesystem::absolute(arguments.text("build", "build"));
    options.ack = arguments.text("ack", "async");
    options.automatic = arguments.text("failover", "manual") == "automatic";
    options.settings = arguments.text("settings", "") + "\n";
    // Not in the sanitizers' builds: nothing may be loaded before their runtimes.
    options.clocks = std::filesystem::exists(options.build + "/tests/failover/clock_layer.so");
    Course course{.rounds = arguments.number("rounds", std::size(kFaults)),
                  .seconds = arguments.number("seconds", 0),
                  .only = arguments.text("only", ""),
                  .dice = Dice(static_cast<uint64_t>(arguments.number("seed", 1)))};
    arguments.finish(0, "failover_main --build DIR; see docs/testing.md");
    Cluster cluster(options, directory);
    std::string wrong;
    try {
        cluster.found();
        wrong = play_rounds(cluster, options, course);
    } catch (const std::exception& error) {
        wrong = error.what();
    }
    if (wrong.empty()) return 0;
    std::printf("%s\n", wrong.c_str());
    post_mortem(cluster);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    return play_in_directory(argc, argv, "/tmp/tanist-failover-XXXXXX", play);
}
