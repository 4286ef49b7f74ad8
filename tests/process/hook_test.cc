// Hooks of real daemons: which run when, what they are told, and that nobody waits for them.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

// Every node's hooks append what they are told to hooks.log of the directory.
std::string telling() {
    return "echo $TANIST_EVENT $(basename $TANIST_DATABASE) $TANIST_REASON $TANIST_EPOCH "
           "$TANIST_ROLE >> \"$(dirname \"$TANIST_DATABASE\")/hooks.log\"";
}

void give_hooks(const Trio& trio, const std::string& command) {
    for (const TrioNode* node : {&trio.a, &trio.b, &trio.c}) {
        std::string settings = file_text(node->db + "-tanist/tanist.toml");
        for (const char* hook : {"on_promote", "on_demote", "on_fence"}) {
            settings += std::string(hook) + " = '" + command + "'\n";
        }
        write_text(node->db + "-tanist/tanist.toml", settings);
    }
}

void start_again(Trio& trio) {
    for (TrioNode* node : {&trio.a, &trio.b, &trio.c}) {
        node->daemon.stop();
        node->start(trio.dir);
    }
    REQUIRE(trio.a.writes());
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
}

bool said_soon(const Trio& trio, const std::string& line) {
    return eventually(
        [&] { return file_text(trio.dir.path("hooks.log")).find(line) != std::string::npos; });
}

uint64_t epoch_of(const Trio& trio, const TrioNode& node) {
    return trio.json("status " + node.db).value("epoch", uint64_t{0});
}

}  // namespace

TEST_CASE("hooks: a switchover tells the new primary and the old one, each once") {
    Trio trio;
    give_hooks(trio, telling());
    start_again(trio);
    REQUIRE(eventually([&] { return trio.run("switchover a.db --to b").code == 0; }));
    const std::string epoch = std::to_string(epoch_of(trio, trio.b));
    CHECK(said_soon(trio, "promote b.db switchover " + epoch + " primary\n"));
    CHECK(said_soon(trio, "demote a.db switchover " + epoch + " replica\n"));
    trio.b.daemon.stop();
    trio.a.daemon.stop();
    const std::string all = file_text(trio.dir.path("hooks.log"));
    CHECK_MESSAGE(std::count(all.begin(), all.end(), '\n') == 2, all);
}

TEST_CASE("hooks: a promotion tells the new primary, and the superseded one when it wakes") {
    Trio trio;
    give_hooks(trio, telling());
    start_again(trio);
    trio.a.pause();
    REQUIRE(trio.run("promote b.db --yes").code == 0);
    CHECK(said_soon(trio, "promote b.db operator "));
    trio.a.go_on();
    CHECK(said_soon(trio, "fence a.db superseded "));
    CHECK(said_soon(trio, "demote a.db superseded "));
}

TEST_CASE("hooks: an operator's fence is told, with the output in the daemon's log") {
    Trio trio;
    give_hooks(trio, "echo fenced by $TANIST_REASON; exit 4");
    start_again(trio);
    REQUIRE(trio.run("fence a.db").code == 0);
    CHECK(eventually([&] { return trio.a.daemon.says("line=\"fenced by operator\""); }));
    CHECK(eventually([&] { return trio.a.daemon.says("hook=on_fence exit_code=4"); }));
    // A second order changes nothing, so it tells nothing.
    REQUIRE(trio.run("fence a.db").code == 0);
    CHECK(trio.a.daemon.stop() == 0);
    const std::string log = trio.a.daemon.said();
    CHECK(log.find("fenced by operator") == log.rfind("fenced by operator"));
}

TEST_CASE("hooks: one that hangs holds nothing up, and is ended with what it started") {
    Trio trio;
    const std::string pid_file = trio.dir.path("pid");
    write_text(trio.b.db + "-tanist/tanist.toml",
               "on_promote = 'trap \"\" TERM; sleep 1000 & echo $! > " + pid_file +
                   "; wait; sleep 1000'\nhook_timeout = '200ms'\n");
    trio.b.daemon.stop();
    trio.b.start(trio.dir);
    trio.a.daemon.kill();
    REQUIRE(eventually([&] { return trio.run("promote b.db --yes").code == 0; }));
    CHECK(trio.b.writes());
    CHECK(eventually([&] { return trio.b.daemon.says("hook=on_promote exit_code=137"); }));
    CHECK(trio.b.daemon.runs());
    const std::string pid = file_text(pid_file);
    REQUIRE(pid.size() > 1);
    CHECK(eventually([&] { return ::kill(std::stoi(pid), 0) != 0; }));
}
