#include "replicator/node/hook.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace tanist;
using namespace std::chrono_literals;

namespace {

constexpr Instant kStart{1'000'000'000'000};

struct Run {
    HookRun run{5s, kStart};
    std::vector<HookAction> all;

    void step(const HookRunEvent& event, Nanos after) {
        for (HookAction& action : run.step(event, kStart + after)) all.push_back(std::move(action));
    }
    void writes(std::string_view text) { step(hook_event::Output{text}, 1ms); }
    void ends(int code, Nanos after) { step(hook_event::Ended{code}, after); }
    void waits(Nanos after) { step(hook_event::Tick{}, after); }
    std::vector<std::string> lines() const {
        std::vector<std::string> said;
        for (const HookAction& action : all) {
            if (action.kind == HookAction::Kind::say) said.push_back(action.line);
        }
        return said;
    }
    int count(HookAction::Kind kind) const {
        return static_cast<int>(
            std::count_if(all.begin(), all.end(),
                          [kind](const HookAction& action) { return action.kind == kind; }));
    }
};

}  // namespace

TEST_CASE("hook: one that ends in time is left alone, and its code is told") {
    Run run;
    run.waits(4999ms);
    run.ends(3, 4999ms);
    REQUIRE(run.all.size() == 1);
    CHECK(run.all[0].code == 3);
    CHECK(run.all[0].in_time);
}

TEST_CASE("hook: beyond its limit it is terminated once, and then killed until it is gone") {
    Run run;
    run.waits(5s);
    run.waits(5500ms);
    CHECK(run.count(HookAction::Kind::terminate) == 1);
    CHECK(run.count(HookAction::Kind::kill) == 0);
    run.waits(6s);
    run.waits(7s);
    CHECK(run.count(HookAction::Kind::kill) == 2);
    run.ends(137, 7s);
    CHECK_FALSE(run.all.back().in_time);
}

TEST_CASE("hook: its output is cut into lines, the last one without a newline too") {
    Run run;
    run.writes("one\ntw");
    run.writes("o\n\nthree");
    run.ends(0, 1s);
    CHECK(run.lines() == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("hook: output without bound costs neither memory nor log") {
    Run run;
    for (int i = 0; i < 200; ++i) run.writes(std::string(1000, 'x'));
    run.ends(0, 1s);
    REQUIRE(run.lines().size() == kHookLinesMax);
    CHECK(run.lines()[0].size() == kHookLineBytesMax);
    CHECK(run.lines().back() == "(the rest of its output is left out)");
}

TEST_CASE("hook: the environment has every fact") {
    const auto facts = environment_of({.event = HookEvent::promote,
                                       .database = "/srv/app.db",
                                       .epoch = Epoch(7),
                                       .position = {Epoch(7), Lsn(12)},
                                       .endpoint = "tcp://b:1",
                                       .primary = "tcp://b:1",
                                       .reason = "operator",
                                       .lost_commits = 2});
    for (const char* wanted :
         {"TANIST_EVENT=promote", "TANIST_DATABASE=/srv/app.db", "TANIST_ROLE=primary",
          "TANIST_EPOCH=7", "TANIST_POSITION=7:12", "TANIST_ENDPOINT=tcp://b:1",
          "TANIST_PRIMARY=tcp://b:1", "TANIST_REASON=operator", "TANIST_LOST_COMMITS=2"}) {
        CHECK_MESSAGE(std::find(facts.begin(), facts.end(), wanted) != facts.end(), wanted);
    }
}
