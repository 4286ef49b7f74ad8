// The random test of the main promise: whatever runs, writes, checkpoints and dies, in the end the
// replica equals the primary byte for byte, and on the way no reader saw anything that was not
// true. See docs/testing.md, "chaos", for how to run it long and how to read a failure.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <vector>

#include "tests/process/chaos/schema.h"
#include "tests/process/chaos/stage.h"
#include "tests/support/process/arguments.h"

namespace {

using namespace tanist::chaos;
using std::chrono::milliseconds;
using std::chrono::seconds;
using tanist::testing::Database;
using tanist::testing::Dice;
using Clock = Stage::Clock;

struct Options {
    uint64_t seed = 1;
    uint64_t rounds = 3;
    uint64_t kills = 0;  // goes on until there were so many; 0: `rounds` rounds
    double seconds = 8;  // of each stanza
    int patience = 60;   // for the replica to catch up; exceeded is a failure
    std::string wishes;  // see narrow_plan
    Programs programs;
};

uint64_t kills_of(const Tally& tally) {
    uint64_t sum = 0;
    for (const char* kind : {"writer", "reader", "checkpointer", "engine", "replica"}) {
        const auto found = tally.find(kind);
        if (found != tally.end()) sum += found->second;
    }
    return sum;
}

// Every COMMIT that an application was told is there.
std::string check_promises(Stage& stage) {
    Database db;
    if (db.open(stage.primary(), {}) != SQLITE_OK || add_hash_function(db) != SQLITE_OK) {
        return "cannot open the primary: " + db.trouble();
    }
    db.keep_wal();
    for (size_t i = 0; i < Board::kWriters; ++i) {
        const int64_t promised = stage.board().writers[i].promised;
        int64_t seq = 0;
        db.ask("SELECT seq FROM writer WHERE id=" + std::to_string(i), seq);
        if (seq < promised) {
            return "the primary lost commits of writer " + std::to_string(i) +
                   ": it was promised " + std::to_string(promised) + " and has " +
                   std::to_string(seq);
        }
    }
    const Look look = check_invariants(db, true);
    if (look.code != 0) return "cannot read the primary: " + db.trouble();
    return look.violation.empty() ? "" : "on the primary itself it is " + look.violation;
}

std::string wait_for_token(Stage& stage, const std::string& token, seconds patience) {
    const auto deadline = Clock::now() + patience;
    Database db;
    std::string last;
    while (Clock::now() < deadline) {
        const std::string problem = stage.attend();
        if (!problem.empty()) return problem;
        tanist::testing::OpenOptions how;
        how.flags = SQLITE_OPEN_READWRITE;
        if (db.is_open() || db.open(stage.replica(), how) == SQLITE_OK) {
            db.ask("SELECT token FROM marker ORDER BY id DESC LIMIT 1", last);
        }
        if (last == token) return "";
        ::usleep(3000);
    }
    return "the replica did not catch up within " + std::to_string(patience.count()) +
           " s; its last marker is '" + last + "', wanted '" + token + "'";
}

// Equal, by a process of its own. In a self-test, against a copy made here.
std::string compare(Stage& stage, const Options& options) {
    std::string other = stage.replica();
    const std::string log = stage.primary() + ".compare.log";
    const tanist::testing::ChildOptions quiet{.log = log};
    const std::string program = stage.tool("chaos_compare");
    if (options.programs.self_test) {
        tanist::testing::run({program, stage.primary(), stage.primary()}, quiet);
        other = stage.primary() + ".copy";
        std::error_code ignored;
        std::filesystem::copy_file(stage.primary(), other,
                                   std::filesystem::copy_options::overwrite_existing, ignored);
    }
    const int code = tanist::testing::run({program, stage.primary(), other}, quiet);
    return code == 0 ? "" : "the replica differs from the primary, see " + log;
}

std::string play_stanza(Stage& stage, const Options& options, const std::string& token,
                        Dice& dice) {
    stage.start_writers();
    const auto end = Clock::now() + milliseconds(static_cast<int64_t>(options.seconds * 1000));
    auto next_strike = Clock::now() + milliseconds(dice.between(1, 500));
    while (Clock::now() < end) {
        const std::string problem = stage.attend();
        if (!problem.empty()) return problem;
        if (Clock::now() >= next_strike) {
            stage.strike();
            next_strike = Clock::now() + milliseconds(dice.between(1, 350));
        }
        ::usleep(2000);
    }
    std::string problem = stage.quiet();
    if (problem.empty()) problem = stage.finish(token);
    if (problem.empty()) problem = check_promises(stage);
    if (problem.empty()) problem = wait_for_token(stage, token, seconds(options.patience));
    if (problem.empty()) problem = compare(stage, options);
    return problem.empty() ? stage.attend() : problem;
}

std::string play_round(const Options& options, uint64_t round, const std::string& directory,
                       Tally& tally) {
    // Each round has its own sequence, so that one can be played alone: --seed S --first ROUND.
    Dice dice(options.seed * 1'000'003 + round);
    Plan plan = draw_plan(dice, round);
    const std::string misunderstood = narrow_plan(options.wishes, plan);
    if (!misunderstood.empty()) return misunderstood;
    std::printf("round %lu: %s\n", round, to_string(plan).c_str());
    std::fflush(stdout);
    std::filesystem::create_directory(directory);
    Stage stage(options.programs, plan, directory, dice, tally);
    std::string problem = stage.raise();
    for (int stanza = 0; problem.empty() && stanza < plan.stanzas; ++stanza) {
        const std::string token = std::to_string(round) + "." + std::to_string(stanza);
        problem = play_stanza(stage, options, token, dice);
        if (problem.empty()) ++tally["stanzas compared equal"];
    }
    if (!problem.empty()) {
        std::printf("%s", stage.status().c_str());
        return problem;
    }
    problem = stage.lower();
    const std::string gap = stage.note_totals();
    return problem.empty() ? gap : problem;
}

void print_summary(const Options& options, uint64_t rounds, const Tally& tally,
                   const std::string& problem) {
    std::printf("seed %lu: %lu rounds, %lu kills, %s\n", options.seed, rounds, kills_of(tally),
                problem.empty() ? "no violation" : "FAILED");
    for (const auto& [name, count] : tally) std::printf("  %-30s %lu\n", name.c_str(), count);
    if (!problem.empty()) std::printf("VIOLATION: %s\n", problem.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    tanist::testing::Arguments arguments(argc, argv);
    Options options;
    options.seed = static_cast<uint64_t>(arguments.number("seed", 1));
    options.rounds = static_cast<uint64_t>(arguments.number("rounds", 3));
    options.kills = static_cast<uint64_t>(arguments.number("kills", 0));
    options.seconds = static_cast<double>(arguments.number("seconds-per-stanza", 8));
    options.patience = static_cast<int>(arguments.number("patience", 60));
    options.programs.self_test = arguments.has("self-test");
    options.programs.build = arguments.text("build", "build");
    options.programs.tools = std::filesystem::canonical("/proc/self/exe").parent_path();
    options.wishes = arguments.text("plan", "");
    uint64_t round = static_cast<uint64_t>(arguments.number("first", 0));
    std::string base = arguments.text("dir", "/tmp") + "/chaos-XXXXXX";
    arguments.finish(0,
                     "chaos_main [--seed N] [--rounds N | --kills N] [--first ROUND] "
                     "[--seconds-per-stanza N] [--patience S] [--build DIR] [--dir DIR] "
                     "[--plan WISHES] [--self-test]");
    if (!options.programs.self_test) {
        options.programs.build = std::filesystem::absolute(options.programs.build);
    }
    if (!::mkdtemp(base.data())) {
        std::perror(base.c_str());
        return 2;
    }
    ::chmod(base.c_str(), 0755);
    Tally tally;
    std::string problem;
    uint64_t played = 0;
    const auto more = [&] {
        return options.kills > 0 ? kills_of(tally) < options.kills : played < options.rounds;
    };
    for (; problem.empty() && more(); ++round, ++played) {
        const std::string directory = base + "/round-" + std::to_string(round);
        problem = play_round(options, round, directory, tally);
        if (problem.empty()) std::filesystem::remove_all(directory);
    }
    print_summary(options, played, tally, problem);
    if (problem.empty()) {
        std::filesystem::remove_all(base);
        return 0;
    }
    std::printf("kept: %s; again: --seed %lu --first %lu --rounds 1\n", base.c_str(), options.seed,
                round - 1);
    return 1;
}
