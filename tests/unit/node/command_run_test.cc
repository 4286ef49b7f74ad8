#include "replicator/node/command_run.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace tanist;
using namespace std::chrono_literals;

namespace {

constexpr Instant kStart{1'000'000'000'000};

struct Run {
    CommandRun run{5s, kStart};
    std::vector<CommandAction> all;

    void step(const CommandEvent& event, Nanos after) {
        for (CommandAction& action : run.step(event, kStart + after))
            all.push_back(std::move(action));
    }
    void writes(std::string_view text) { step(command_event::Output{text}, 1ms); }
    void ends(int code, Nanos after) { step(command_event::Ended{code}, after); }
    void stops(Nanos after) { step(command_event::Stop{}, after); }
    void waits(Nanos after) { step(command_event::Tick{}, after); }
    std::vector<std::string> lines() const {
        std::vector<std::string> said;
        for (const CommandAction& action : all) {
            if (action.kind == CommandAction::Kind::say) said.push_back(action.line);
        }
        return said;
    }
    int count(CommandAction::Kind kind) const {
        return static_cast<int>(
            std::count_if(all.begin(), all.end(),
                          [kind](const CommandAction& action) { return action.kind == kind; }));
    }
};

}  // namespace

TEST_CASE("command: one that ends in time is left alone, and its code is told") {
    Run run;
    run.waits(4999ms);
    run.ends(3, 4999ms);
    REQUIRE(run.all.size() == 1);
    CHECK(run.all[0].code == 3);
    CHECK(run.all[0].in_time);
}

TEST_CASE("command: beyond its limit it is terminated once, and then killed until it is gone") {
    Run run;
    run.waits(5s);
    run.waits(5500ms);
    CHECK(run.count(CommandAction::Kind::terminate) == 1);
    CHECK(run.count(CommandAction::Kind::kill) == 0);
    run.waits(6s);
    run.waits(7s);
    CHECK(run.count(CommandAction::Kind::kill) == 2);
    run.ends(137, 7s);
    CHECK_FALSE(run.all.back().in_time);
}

TEST_CASE("command: its output is cut into lines, the last one without a newline too") {
    Run run;
    run.writes("one\ntw");
    run.writes("o\n\nthree");
    run.ends(0, 1s);
    CHECK(run.lines() == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("command: output without bound costs neither memory nor log") {
    Run run;
    for (int i = 0; i < 200; ++i) run.writes(std::string(1000, 'x'));
    run.ends(0, 1s);
    REQUIRE(run.lines().size() == kCommandLinesMax);
    CHECK(run.lines()[0].size() == kCommandLineBytesMax);
    CHECK(run.lines().back() == "(the rest of its output is left out)");
}

TEST_CASE(
    "command: one that is not wanted any more is terminated at once, and killed after a second") {
    Run run;
    run.stops(1s);
    run.stops(1500ms);
    CHECK(run.count(CommandAction::Kind::terminate) == 1);
    run.waits(2s);
    CHECK(run.count(CommandAction::Kind::kill) == 1);
    run.ends(0, 2s);
    CHECK_FALSE(run.all.back().in_time);
}
