// The crash matrix: for each case, the n-th step of one process is its last, for n = 1, 2, 3, ...
// until a run ends before its n-th step. See docs/testing.md, "crash".
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <sstream>
#include <vector>

#include "tests/crash/rig.h"
#include "tests/support/process/arguments.h"

namespace {

using namespace tanist::crash;
using tanist::testing::Dice;

struct Options {
    uint64_t seed = 1;
    uint64_t first = 1;   // step
    uint64_t stride = 1;  // 1: every step
    uint64_t plays = 0;   // of each case at most; 0: until the steps end
    std::string base;
    Programs programs;
};

struct Totals {
    uint64_t cases = 0;
    uint64_t blows = 0;
    uint64_t attempts = 0;
    uint64_t looks = 0;
    uint64_t went_back = 0;
    uint64_t refusals = 0;
    Stakes stakes;
};

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> words;
    std::stringstream stream(text);
    for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
    return words;
}

Case make_case(const std::string& mode, const std::string& blow, const std::string& victim,
               const std::string& sync, const std::string& page) {
    Case made;
    made.mode = mode;
    made.blow = blow == "kill" ? Blow::kill : Blow::cut_power;
    made.victim = victim == "writer"   ? Role::writer
                  : victim == "engine" ? Role::engine
                                       : Role::replica;
    made.newborn = victim == "newborn";
    made.sync = sync;
    made.page_bytes = std::stoi(page);
    return made;
}

std::vector<Case> cases_of(tanist::testing::Arguments& arguments) {
    std::vector<Case> cases;
    const auto blows = split(arguments.text("blows", "kill,power"));
    const auto victims = split(arguments.text("victims", "writer,engine,replica,newborn"));
    const auto syncs = split(arguments.text("syncs", "FULL,NORMAL"));
    const auto modes = split(arguments.text("modes", "async"));
    const auto pages = split(arguments.text("pages", "512,4096,65536"));
    const bool sealed = arguments.number("sealed", 0) != 0;
    for (const auto& mode : modes) {
        for (const auto& blow : blows) {
            for (const auto& victim : victims) {
                for (const auto& sync : syncs) {
                    for (const auto& page : pages) {
                        cases.push_back(make_case(mode, blow, victim, sync, page));
                        cases.back().sealed = sealed;
                    }
                }
            }
        }
    }
    return cases;
}

std::string play_case(const Options& options, const Case& the_case, size_t number, Totals& totals) {
    const std::string directory = options.base + "/case-" + std::to_string(number);
    std::filesystem::create_directories(directory);
    Dice dice(options.seed * 1'000'003 + number);
    Rig rig(options.programs, the_case, directory, dice, totals.stakes);
    std::string violation = rig.raise();
    uint64_t at = options.first;
    uint64_t blows = 0;
    if (options.stride > 1) at += dice.below(options.stride);
    for (; violation.empty(); at += options.stride) {
        violation = rig.play(at);
        if (!violation.empty()) {
            violation += " (step " + std::to_string(at) + ": " + rig.struck_at() + ")";
            break;
        }
        if (!rig.struck()) break;
        ++blows;
        if (options.plays != 0 && blows == options.plays) break;
    }
    ++totals.cases;
    totals.blows += blows;
    totals.attempts += rig.board().attempts.load();
    totals.looks += rig.board().looks.load();
    totals.went_back += rig.board().went_back.load();
    totals.refusals += rig.board().refusals.load();
    std::printf("%zu: %s: %lu blows, the last run had %lu steps%s\n", number,
                to_string(the_case).c_str(), blows, rig.steps(),
                violation.empty() ? "" : ", VIOLATION");
    std::fflush(stdout);
    return violation;
}

}  // namespace

int main(int argc, char** argv) {
    tanist::testing::Arguments arguments(argc, argv);
    Options options;
    options.seed = static_cast<uint64_t>(arguments.number("seed", 1));
    options.first = static_cast<uint64_t>(arguments.number("first", 1));
    options.stride = static_cast<uint64_t>(arguments.number("stride", 1));
    options.plays = static_cast<uint64_t>(arguments.number("plays", 0));
    options.programs.build = std::filesystem::absolute(arguments.text("build", "build"));
    options.programs.tools = std::filesystem::canonical("/proc/self/exe").parent_path();
    const std::vector<Case> cases = cases_of(arguments);
    options.base = arguments.text("dir", "/tmp") + "/crash-XXXXXX";
    arguments.finish(
        0,
        "crash_main [--build DIR] [--dir DIR] [--seed N] [--first STEP] [--stride N] "
        "[--plays N] [--blows kill,power] [--victims writer,engine,replica,newborn] "
        "[--modes async,before_visible,pipelined] [--syncs FULL,NORMAL] [--pages 512,4096,65536] "
        "[--sealed 1]");
    if (!::mkdtemp(options.base.data())) {
        std::perror(options.base.c_str());
        return 2;
    }
    Totals totals;
    std::string violation;
    for (size_t i = 0; violation.empty() && i < cases.size(); ++i) {
        violation = play_case(options, cases[i], i, totals);
    }
    std::printf(
        "seed %lu: %lu cases, %lu blows, %lu attempts to commit, %lu with the rule not met, %lu "
        "looks, went back %lu "
        "times; unsynced at power cuts: %lu writes; sectors kept %lu, dropped %lu, "
        "garbled %lu; names undone %lu\n",
        options.seed, totals.cases, totals.blows, totals.attempts, totals.refusals, totals.looks,
        totals.went_back, totals.stakes.writes_unsynced, totals.stakes.sectors_kept,
        totals.stakes.sectors_dropped, totals.stakes.sectors_garbled, totals.stakes.names_undone);
    if (violation.empty()) {
        std::filesystem::remove_all(options.base);
        return 0;
    }
    std::printf("VIOLATION: %s\nkept: %s\n", violation.c_str(), options.base.c_str());
    return 1;
}
