// A disk that refuses a file in the middle of a change of role: what the node is then is what its
// files say, and no process goes on without a role.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/electorate.h"
#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;
namespace fs = std::filesystem;

namespace {

// The daemon cannot replace its node file from here on.
void spoil_node_file(const std::string& db, const Daemon& daemon) {
    fs::create_directory(Layout(db).node() + ".new-" + std::to_string(daemon.pid()));
}

}  // namespace

// A stock process obeys the mark in the database alone, and that is taken off first.
TEST_CASE("role faults: an unfence that is not written down leaves stock processes fenced") {
    Trio trio;
    trio.must("fence a.db");
    spoil_node_file(trio.a.db, trio.a.daemon);
    REQUIRE(trio.run("unfence a.db").code != 0);
    CHECK(trio.role(trio.a) == "fenced");
    CHECK(eventually([&] { return !trio.a.writes(); }));
}

// A change of the voters lets the same primary stand again.
TEST_CASE("role faults: who is elected and cannot write down that it is ends, and another is") {
    Electorate group;
    spoil_node_file(group.a.db, group.a.daemon);
    Voter d{
        .name = "d", .db = group.dir.path("d.db"), .endpoint = "ipc://" + group.dir.path("d.sock")};
    group.start(d);
    group.must("members add a.db " + d.endpoint + " --name d");
    CHECK_MESSAGE(group.a.daemon.wait() == 1, group.story());
    CHECK_MESSAGE(group.elected({&group.b, &group.c, &d}) != nullptr, group.story());
}

TEST_CASE("role faults: who handed over and cannot follow ends, and its next start follows") {
    Trio trio;
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    fs::create_directory(Layout(trio.a.db).intent());
    trio.run("switchover a.db --to b");
    CHECK(trio.a.daemon.wait() == 1);
    CHECK(trio.role(trio.b) == "primary");
    fs::remove(Layout(trio.a.db).intent());
    trio.a.start(trio.dir);
    CHECK(trio.role(trio.a) == "replica");
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
}
