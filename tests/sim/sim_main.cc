// sim: whole clusters of the failover core on virtual time.
//
//   sim --seed 7                  one seed, with its last 200 events (or --trace N) if it fails
//   sim --seeds 1000 --seed 1     seeds 1 to 1000
//   sim --seconds 30              as many as fit
//   sim --mutation ack_late       until the planted fault is noticed; exit 0 then, 1 otherwise
//   sim --keep-going              name every failing seed instead of stopping at the first
//   sim --twice                   every seed two times: the runs must be the same
//
// Exit codes: 0 all as expected, 1 a breach (or, with --mutation, none), 2 usage.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "failover/core/mutation.h"
#include "tests/sim/world.h"

namespace tanist::sim {
namespace {

using failover::Mutation;

const std::map<std::string, Mutation>& mutations() {
    static const std::map<std::string, Mutation> kAll = {
        {"no_log_check", Mutation::no_log_check},
        {"lsn_only", Mutation::lsn_only},
        {"majority_only", Mutation::majority_only},
        {"ack_late", Mutation::ack_late},
        {"vote_amnesia", Mutation::vote_amnesia},
        {"reuse_lsn", Mutation::reuse_lsn},
        {"solo_degrade", Mutation::solo_degrade},
        {"received_not_suspect", Mutation::received_not_suspect},
        {"no_barrier", Mutation::no_barrier},
        {"strengthen_early", Mutation::strengthen_early},
        {"inherit_policy", Mutation::inherit_policy},
        {"no_margin", Mutation::no_margin},
        {"forget_promise", Mutation::forget_promise},
        {"response_time", Mutation::response_time},
        {"handover_no_release", Mutation::handover_no_release},
        {"vm_pause", Mutation::none}};  // of the world, not of the code
    return kAll;
}

struct Options {
    uint64_t seed = 1;
    uint64_t seeds = 1;
    double seconds = 0;
    std::string mutation;
    bool twice = false;
    bool quiet = false;
    bool keep_going = false;
    size_t trace = 200;
};

struct Totals {
    uint64_t seeds = 0, events = 0, tokens = 0, acks = 0, overlaps = 0, faults = 0, blocked = 0,
             discarded = 0;
    double virtual_seconds = 0;
    void add(const Outcome& outcome) {
        ++seeds;
        events += outcome.events;
        tokens += outcome.tokens;
        acks += outcome.client_acks;
        overlaps += outcome.lease_overlaps;
        faults += outcome.faults;
        blocked += outcome.blocked_rightly;
        discarded += outcome.discarded;
        virtual_seconds += static_cast<double>(outcome.virtual_ns) / 1e9;
    }
};

double wall_seconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

// Seeds that give a planted fault its occasion more often; the checkers are the same.
Swarm focused(Swarm swarm, const std::string& mutation) {
    failover::Config& config = swarm.config;
    const auto& members = config.members;
    if (mutation == "strengthen_early" && members.size() >= 3) {
        config.sync_k = 1;
        config.lag_max_on_failover = 0;
        config.level = failover::AckLevel::durable;
        config.on_unavailable = failover::OnUnavailable::degrade;
        config.timing.degrade_after = std::chrono::milliseconds(200);
        swarm.crashes = swarm.partitions = 5;
        swarm.fault_every_ns = 400'000'000;
    } else if (mutation == "forget_promise") {
        swarm.restarts_of_others = 20;
    } else if (mutation == "no_margin") {
        swarm.drift_ppm = config.timing.drift_permille * 1000;
        swarm.partitions = swarm.drifts = 10;
    }
    return swarm;
}

RunOptions run_options(const Options& options, uint64_t seed) {
    RunOptions run;
    run.seed = seed;
    run.vm_pauses = options.mutation == "vm_pause";
    run.swarm = focused(draw_swarm(seed), options.mutation);
    return run;
}

void show_failure(const Options& options, uint64_t seed, const Outcome& first) {
    RunOptions again = run_options(options, seed);
    again.trace_kept = options.trace;
    const Outcome outcome = run_world(again);
    for (const std::string& line : outcome.last) std::printf("%s\n", line.c_str());
    std::printf("seed %llu: %s\n  %s\n", static_cast<unsigned long long>(seed),
                first.breach->c_str(), describe(draw_swarm(seed)).c_str());
    if (outcome.trace_hash != first.trace_hash) std::printf("AND THE REPLAY DIFFERS\n");
}

void show_totals(const Totals& totals, double wall) {
    std::printf(
        "%llu seeds, %.0f cluster-seconds in %.1f s (%.0f per second), %llu events, %llu faults, "
        "%llu tokens, %llu commits acknowledged, %llu given up by lossy elections, %llu lease "
        "overlaps where they are excused, %llu runs rightly without a primary at the end\n",
        static_cast<unsigned long long>(totals.seeds), totals.virtual_seconds, wall,
        totals.virtual_seconds / wall, static_cast<unsigned long long>(totals.events),
        static_cast<unsigned long long>(totals.faults),
        static_cast<unsigned long long>(totals.tokens),
        static_cast<unsigned long long>(totals.acks),
        static_cast<unsigned long long>(totals.discarded),
        static_cast<unsigned long long>(totals.overlaps),
        static_cast<unsigned long long>(totals.blocked));
}

int run_mutation(const Options& options) {
    const double begin = wall_seconds();
    const double limit = options.seconds > 0 ? options.seconds : 60;
    failover::plant(mutations().at(options.mutation));
    for (uint64_t seed = options.seed;; ++seed) {
        const double spent = wall_seconds() - begin;
        if (spent > limit) {
            std::printf("%s: NOT noticed in %.0f s, %llu seeds\n", options.mutation.c_str(), spent,
                        static_cast<unsigned long long>(seed - options.seed));
            return 1;
        }
        const Outcome outcome = run_world(run_options(options, seed));
        if (!outcome.breach) continue;
        std::printf("%s: noticed after %.2f s, by seed %llu: %s\n", options.mutation.c_str(),
                    wall_seconds() - begin, static_cast<unsigned long long>(seed),
                    outcome.breach->c_str());
        if (!options.quiet) show_failure(options, seed, outcome);
        return 0;
    }
}

int run_seeds(const Options& options) {
    const double begin = wall_seconds();
    Totals totals;
    int failed = 0;
    for (uint64_t seed = options.seed;; ++seed) {
        const double spent = wall_seconds() - begin;
        if (options.seconds > 0 ? spent > options.seconds : totals.seeds == options.seeds) break;
        const Outcome outcome = run_world(run_options(options, seed));
        if (outcome.breach) {
            ++failed;
            if (!options.keep_going) {
                show_failure(options, seed, outcome);
                return 1;
            }
            std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                        outcome.breach->c_str());
        }
        if (options.twice &&
            run_world(run_options(options, seed)).trace_hash != outcome.trace_hash) {
            std::printf("seed %llu: two runs differ\n", static_cast<unsigned long long>(seed));
            return 1;
        }
        totals.add(outcome);
        if (totals.seeds % 1000 == 0) {
            show_totals(totals, wall_seconds() - begin);
            std::fflush(stdout);
        }
    }
    show_totals(totals, wall_seconds() - begin);
    return failed == 0 ? 0 : 1;
}

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--twice" || name == "--quiet" || name == "--keep-going") {
            options.twice = options.twice || name == "--twice";
            options.quiet = options.quiet || name == "--quiet";
            options.keep_going = options.keep_going || name == "--keep-going";
            continue;
        }
        if (i + 1 >= argc) return false;
        const std::string value = argv[++i];
        if (name == "--seed") {
            options.seed = std::strtoull(value.c_str(), nullptr, 10);
        } else if (name == "--seeds") {
            options.seeds = std::strtoull(value.c_str(), nullptr, 10);
        } else if (name == "--trace") {
            options.trace = std::strtoull(value.c_str(), nullptr, 10);
        } else if (name == "--seconds") {
            options.seconds = std::strtod(value.c_str(), nullptr);
        } else if (name == "--mutation" && mutations().contains(value)) {
            options.mutation = value;
        } else {
            return false;
        }
    }
    return true;
}

}  // namespace
}  // namespace tanist::sim

int main(int argc, char** argv) {
    using namespace tanist::sim;
    Options options;
    if (!parse(argc, argv, options)) {
        std::fprintf(stderr,
                     "usage: sim [--seed N] [--seeds N] [--seconds S] [--twice] [--quiet] "
                     "[--keep-going] [--trace N]\n"
                     "           [--mutation NAME]\n");
        for (const auto& [name, mutation] : mutations())
            std::fprintf(stderr, "  %s\n", name.c_str());
        return 2;
    }
    return options.mutation.empty() ? run_seeds(options) : run_mutation(options);
}
