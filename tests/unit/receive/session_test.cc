// Follower and receiver against each other: what holds after any faults.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>

#include "tests/unit/receive/session_world.h"

namespace tanist {
namespace {

// The first thousand, and those that found something; or TANIST_SEEDS=FIRST-LAST.
std::vector<uint32_t> seeds() {
    uint32_t first = 1;
    uint32_t last = 1000;
    const char* asked = std::getenv("TANIST_SEEDS");
    if (asked != nullptr && std::sscanf(asked, "%u-%u", &first, &last) != 2) {
        throw std::invalid_argument("TANIST_SEEDS=FIRST-LAST");
    }
    std::vector<uint32_t> seeds(last - first + 1);
    std::iota(seeds.begin(), seeds.end(), first);
    // A sync_begin that came late made a replica throw away what it had acknowledged since.
    if (asked == nullptr) seeds.push_back(10942);
    return seeds;
}

}  // namespace

TEST_CASE("session: after faults stop, every record is there exactly once and in order") {
    for (const uint32_t seed : seeds()) {
        CAPTURE(seed);
        World world(seed, Lsn(seed % 3 == 0 ? 40 : 0));
        for (int i = 0; i < 1500 && world.broken_rule.empty(); ++i) world.turn(true);
        REQUIRE(world.broken_rule == "");
        bool settled = world.settle();
        REQUIRE(world.broken_rule == "");
        INFO(world.follower().view().reason);
        REQUIRE(settled);
        REQUIRE(world.installs > 0);
    }
}

// The rules that a World watches say what a gap may not do: a promise of what leads to no database.
TEST_CASE("session: gaps in the primary's history cost no acknowledged record") {
    for (const uint32_t seed : seeds()) {
        CAPTURE(seed);
        World world(seed, Lsn(seed % 3 == 0 ? 40 : 0));
        world.gaps = true;
        for (int i = 0; i < 1500 && world.broken_rule.empty(); ++i) world.turn(true);
        REQUIRE(world.broken_rule == "");
        const bool settled = world.settle();
        REQUIRE(world.broken_rule == "");
        INFO(world.follower().view().reason);
        REQUIRE(settled);
    }
}

TEST_CASE("session: a replica that loses its primary in a sync has the log that it had") {
    World world(8, Lsn(0));
    for (int i = 0; i < 10; ++i) world.append();
    REQUIRE(world.settle());
    const Position before = world.end();
    world.make_gap();
    world.append();
    for (int i = 0; i < 1000 && !world.syncs(); ++i) world.turn(false);
    REQUIRE(world.syncs());
    CHECK(world.receiver().view().whole);
    CHECK(world.receiver().view().end.position == before);
    world.lose_connections();
    CHECK(world.receiver().view().whole);
    CHECK(world.receiver().view().end.position == before);
}

TEST_CASE("session: a replica with another history is synced, not followed") {
    World world(5, Lsn(0));
    for (int i = 0; i < 10; ++i) world.append();
    REQUIRE(world.settle());
    uint64_t before = world.installs;
    world.lose_history();
    world.restart_replica();
    REQUIRE(world.settle());
    CHECK(world.installs > before);
    CHECK(world.broken_rule == "");
}

TEST_CASE("session: a replica that restarts goes on from its log, without a sync") {
    World world(6, Lsn(0));
    for (int i = 0; i < 10; ++i) world.append();
    REQUIRE(world.settle());
    uint64_t before = world.installs;
    world.restart_replica();
    for (int i = 0; i < 10; ++i) world.append();
    REQUIRE(world.settle());
    CHECK(world.installs == before);
}

TEST_CASE("session: the last record comes again when it was not let in") {
    World world(7, Lsn(0));
    for (int i = 0; i < 10; ++i) world.append();
    REQUIRE(world.settle());
    uint64_t before = world.installs;
    world.denied_records = 1;
    world.append();
    REQUIRE(world.settle());
    CHECK(world.denied_records == 0);
    CHECK(world.installs == before);
}

}  // namespace tanist
