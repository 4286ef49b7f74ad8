// A node is killed at the n-th step of a switchover, a takeover or a rejoin, for n = 1, 2, 3, ...
// until the whole is over before its n-th step. See docs/testing.md, "failover".
//
//   failover_steps --build DIR [--failover automatic] [--ack RULE] [--settings TOML] [--seed N]
//                  [--acts switchover,takeover,rejoin] [--victims old,next,third]
//                  [--first STEP] [--stride N] [--plays N] [--old-first PERCENT]
//
// A step is anything that changes or syncs a file or a name, or a message handed to ZeroMQ, by the
// victim's daemon (tests/crash/journal.h). The applications write all the while.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/crash/machine.h"
#include "tests/failover/program.h"
#include "tests/failover/verdict.h"
#include "tests/support/process/arguments.h"
#include "tests/support/process/dice.h"

namespace {

using namespace tanist::torture;
namespace crash = tanist::crash;
using std::chrono::seconds;
using tanist::testing::Arguments;
using tanist::testing::Dice;

constexpr uint32_t kClasses = crash::kStepFile | crash::kStepSend;
constexpr int kPaceMs = 20;  // of the applications, or their commits would be most of the steps

using Machines = std::array<std::unique_ptr<crash::Machine>, Cluster::kNodes>;

void must(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
}

// The primary at the beginning, who is to be the next one (as far as that can be known), the other.
enum Part { kOld, kNext, kThird };
constexpr const char* kPartNames[] = {"old", "next", "third"};

struct Stage {
    Cluster& cluster;
    Machines& machines;
    bool automatic;
    Part victim;
    uint64_t step;             // of its daemon's at which it dies
    std::array<int, 3> nodes;  // by their parts

    int old() const { return nodes[kOld]; }
    int next() const { return nodes[kNext]; }
    int third() const { return nodes[kThird]; }
    crash::Machine& machine() { return *machines[static_cast<size_t>(nodes[victim])]; }
    void arm() { machine().arm({crash::Role::engine, crash::Blow::kill, kClasses, step}); }
    bool struck() { return machine().struck(); }
    bool leads(int node) { return cluster.daemon_runs(node) && cluster.role(node) == "primary"; }
    // After the blow nothing is waited for that it may have made impossible.
    void wait(const std::function<bool()>& holds, const char* otherwise) {
        must(soon([&] { return struck() || holds(); }), otherwise);
    }
};

// -- acts. Each begins with everything healthy and applications that write.

void switchover(Stage& stage) {
    stage.arm();
    stage.cluster.tanist(stage.old(), "switchover " + stage.cluster.path(stage.old()) + " --to " +
                                          Network::endpoint(stage.next()));
}

// The primary's node dies; an operator promotes, or the voters elect.
void takeover(Stage& stage) {
    stage.cluster.kill_node(stage.old());
    stage.arm();
    if (stage.automatic) {
        stage.wait([&] { return stage.leads(stage.next()) || stage.leads(stage.third()); },
                   "nobody was elected");
    } else {
        const std::string path = stage.cluster.path(stage.next());
        stage.cluster.tanist(stage.next(), "promote " + path + " --yes");
    }
}

// The primary is cut off in mid-commit and another one takes over. Then it is started again, with
// what nobody else has.
void rejoin(Stage& stage) {
    Cluster& cluster = stage.cluster;
    cluster.network().isolate(stage.old());
    const std::string refused = stage.automatic ? "" : cluster.promote_any(stage.old());
    must(refused.empty(), refused);
    must(cluster.one_primary_soon(stage.old()), "nobody took over");
    must(cluster.any_writes_soon(), "nobody acknowledges anything");
    if (stage.leads(stage.third())) std::swap(stage.nodes[kNext], stage.nodes[kThird]);
    cluster.kill_node(stage.old());
    cluster.network().heal();
    stage.arm();
    try {
        cluster.start_daemon(stage.old());
    } catch (const std::runtime_error&) {
        if (!stage.struck()) throw;
        return;
    }
    const uint64_t end = cluster.end_of(stage.next());
    stage.wait([&] { return cluster.all_have(stage.next(), end); },
               "the old primary does not follow");
}

struct Act {
    const char* name;
    void (*play)(Stage& stage);
    std::vector<Part> victims;
};
const Act kActs[] = {{"switchover", switchover, {kOld, kNext, kThird}},
                     {"takeover", takeover, {kNext, kThird}},
                     {"rejoin", rejoin, {kOld, kNext, kThird}}};

// -- a blow

// What it acknowledges now must not be lost.
void let_it_serve(Cluster& cluster, int old) {
    const uint64_t before = cluster.acknowledged(old);
    soon([&] { return cluster.acknowledged(old) > before + 5 || cluster.role(old) == "replica"; },
         seconds(5));
}

// Daemons and applications are started again where they died, the old primary before or after who
// was to be the next, and nothing else is done. Only where no voters elect does an operator come
// when nobody is primary.
void recover(Stage& stage, bool old_first) {
    Cluster& cluster = stage.cluster;
    stage.machine().disarm();
    if (stage.struck()) cluster.kill_node(stage.nodes[stage.victim]);
    std::vector<int> order = {stage.next(), stage.third(), stage.old()};
    if (old_first) order = {stage.third(), stage.old(), stage.next()};
    for (const int node : order) {
        if (cluster.daemon_runs(node)) continue;
        cluster.start_daemon(node);
        cluster.start_client(node);
        if (old_first && node == stage.old() && !stage.automatic) let_it_serve(cluster, node);
    }
    if (stage.automatic || soon([&] { return cluster.primary() >= 0; }, seconds(5))) return;
    const std::string refused = cluster.promote_any(-1);
    must(refused.empty(), "no promotion: " + refused);
}

struct Course {
    std::vector<std::string> acts;
    std::vector<std::string> victims;
    uint64_t first = 1;       // step
    uint64_t stride = 1;      // 1: every step
    uint64_t plays = 0;       // of each act and victim at most; 0: until the steps end
    unsigned old_first = 50;  // percent of the blows: the old primary comes before the next one
    Dice dice{1};
};

struct Rig {
    Cluster& cluster;
    Machines& machines;
    ClusterOptions options;
    Totals totals = {};
    uint64_t blows = 0;
};

// Whether the victim was struck. Throws what is wrong.
bool play_blow(Rig& rig, const Act& act, Part victim, uint64_t step, bool old_first) {
    Cluster& cluster = rig.cluster;
    must(cluster.converges(), "the nodes do not come together");
    const int old = cluster.primary();
    const int next = (old + 1) % Cluster::kNodes;
    Stage stage{cluster, rig.machines, rig.options.automatic,
                victim,  step,         {old, next, Cluster::kNodes - old - next}};
    cluster.start_clients();
    must(cluster.writes_soon(old), "the primary acknowledges nothing before the blow");
    must(cluster.all_follow_soon(old), "a node does not follow before the blow");
    act.play(stage);
    const bool struck = stage.struck();
    if (struck) {
        std::printf("%s, %s: step %llu, %s%s\n", act.name, kPartNames[victim],
                    static_cast<unsigned long long>(step), stage.machine().struck_at().c_str(),
                    old_first ? "; the old primary first" : "");
        std::fflush(stdout);
    }
    recover(stage, old_first);
    must(cluster.any_writes_soon(), "nobody acknowledges anything after the blow");
    cluster.stop_clients();
    const std::string wrong = judge(cluster, promise_of(rig.options), rig.totals);
    must(wrong.empty(), wrong);
    return struck;
}

void play_steps(Rig& rig, Course& course, const Act& act, Part victim) {
    uint64_t step = course.first + course.dice.below(course.stride);
    uint64_t blows = 0;
    while (play_blow(rig, act, victim, step, course.dice.chance(course.old_first))) {
        step += course.stride;
        if (++blows == course.plays) break;
    }
    rig.blows += blows;
    std::printf("%s, %s: %llu blows, all good; %zu acknowledged, %zu unknown, %zu saved so far\n",
                act.name, kPartNames[victim], static_cast<unsigned long long>(blows),
                rig.totals.acknowledged, rig.totals.unknown, rig.totals.saved);
    std::fflush(stdout);
}

void play_acts(Rig& rig, Course& course) {
    const auto wanted = [](const std::vector<std::string>& names, const char* name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const Act& act : kActs) {
        if (!wanted(course.acts, act.name)) continue;
        for (const Part victim : act.victims) {
            if (wanted(course.victims, kPartNames[victim])) play_steps(rig, course, act, victim);
        }
    }
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> words;
    std::stringstream stream(text);
    for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
    return words;
}

int play(Arguments& arguments, const std::string& directory) {
    ClusterOptions options;
    options.build = std::filesystem::absolute(arguments.text("build", "build"));
    options.ack = arguments.text("ack", "durable:1");
    options.automatic = arguments.text("failover", "manual") == "automatic";
    options.settings = arguments.text("settings", "") + "\n";
    options.pace_ms = kPaceMs;
    Course course;
    course.acts = split(arguments.text("acts", "switchover,takeover,rejoin"));
    course.victims = split(arguments.text("victims", "old,next,third"));
    course.first = static_cast<uint64_t>(arguments.number("first", 1));
    course.stride = static_cast<uint64_t>(arguments.number("stride", 1));
    course.plays = static_cast<uint64_t>(arguments.number("plays", 0));
    course.old_first = static_cast<unsigned>(arguments.number("old-first", 50));
    course.dice = Dice(static_cast<uint64_t>(arguments.number("seed", 1)));
    arguments.finish(0, "failover_steps --build DIR; see docs/testing.md");
    const std::string layer = options.build + "/tests/crash/crash_layer.so";
    Machines machines;
    for (int node = 0; node < Cluster::kNodes; ++node) {
        const std::string memory = directory + "/machine-" + std::to_string(node);
        machines[node] =
            std::make_unique<crash::Machine>(Cluster::directory_of(directory, node), memory, layer);
        machines[node]->boot(false);
        // The applications and commands of these machines know the real one.
        std::ofstream(memory + crash::kBootName)
            << std::ifstream("/proc/sys/kernel/random/boot_id").rdbuf();
    }
    options.environment = [&](int node) {
        return machines[static_cast<size_t>(node)]->environment(crash::Role::engine);
    };
    Cluster cluster(options, directory);
    Rig rig{cluster, machines, options};
    std::string wrong;
    try {
        cluster.found();
        play_acts(rig, course);
    } catch (const std::exception& error) {
        wrong = error.what();
    }
    std::printf("%llu blows\n", static_cast<unsigned long long>(rig.blows));
    if (wrong.empty()) return 0;
    std::printf("BAD: %s\n", wrong.c_str());
    post_mortem(cluster);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    // An application would start an engine in the place of a daemon that was killed.
    ::setenv("TANIST_DAEMON", "/bin/false", 1);
    return play_in_directory(argc, argv, "/tmp/tanist-steps-XXXXXX", play);
}
