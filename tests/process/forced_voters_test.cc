// Voters that an operator's force leaves out, and their way back. Who is forced has heard of nobody
// but the voters: its primary died before it told who belongs to the cluster.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/electorate.h"
#include "tests/support/keyed_voters.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

const std::string kForce = " --yes --force --accept-loss --assert-fenced a";

// What is elected after a forced promotion. Those who come back together may still elect one of
// their own by the old list, until they hear of it.
bool is_forced(const nlohmann::json& view) {
    return view.is_object() && view.value("epoch", uint64_t{0}) >> 48 > 0;
}

void lose_roster(const std::string& db) {
    const std::string roster = Layout(db).members();
    REQUIRE(eventually([&] { return path_exists(roster); }));
    std::filesystem::remove(roster);
}

struct LoneHeir : Electorate {
    // b alone is left, and knows the voters alone.
    LoneHeir() {
        REQUIRE(writes_soon(a, "kept"));
        REQUIRE(equal_soon(a, {&b, &c}));
        a.daemon.kill();
        c.daemon.kill();
        lose_roster(b.db);
    }
    // The primary for which all three vote, when commits wait for k at least; on a slow machine a
    // change of the voters may make it another one.
    Voter* leader_of_all(int k) {
        Voter* found = nullptr;
        eventually([&] {
            for (Voter* node : {&a, &b, &c}) {
                const auto view = failover(*node);
                const bool all = is_forced(view) && view["voters"].size() == 3;
                if (all && view["policy"]["k"] >= k && is_primary(*node)) found = node;
            }
            return found != nullptr;
        });
        return found;
    }
};

}  // namespace

TEST_CASE_FIXTURE(LoneHeir, "forced voters: who was left out comes back, follows, and votes") {
    must("promote b.db" + kForce);
    REQUIRE(failover(b)["voters"].size() == 1);
    StockSqlite(b.db).must("INSERT INTO t VALUES('alone')");
    start(a);
    start(c);
    CHECK_MESSAGE(equal_soon(b, {&a, &c}), story());
    CHECK_MESSAGE(leader_of_all(0) != nullptr, story());
    CHECK(b.ask("SELECT count(*) FROM t") == "2");
}

// Elections count on k confirmations of a commit. One voter can ask for none, and a group that goes
// on with none elects nobody without an operator.
TEST_CASE_FIXTURE(LoneHeir, "forced voters: with all of them back, the next primary is elected") {
    for (const Voter* node : {&b, &c}) {
        write_text(node->db + "-tanist/tanist.toml", "ack = \"durable:1\"\n");
    }
    b.daemon.kill();
    start(b);
    must("promote b.db" + kForce);
    REQUIRE(failover(b)["policy"]["k"] == 0);
    start(a);
    start(c);
    Voter* leader = leader_of_all(1);
    REQUIRE_MESSAGE(leader != nullptr, story());
    REQUIRE(writes_soon(*leader, "confirmed"));
    leader->daemon.kill();
    std::vector<const Voter*> rest = {&a, &b, &c};
    std::erase(rest, leader);
    const Voter* next = elected(rest);
    REQUIRE_MESSAGE(next != nullptr, story());
    CHECK(next->ask("SELECT count(*) FROM t WHERE x = 'confirmed'") == "1");
}

struct LoneKeyedHeir : KeyedVoters {
    LoneKeyedHeir() {
        REQUIRE(eventually([&] { return write("a", 1) == "ok"; }));
        REQUIRE(equal_soon("a", {"b", "c"}));
        for (const char* gone : {"a", "c", "w"}) daemons[gone].kill();
        lose_roster(db("b"));
    }
};

TEST_CASE_FIXTURE(LoneKeyedHeir,
                  "forced voters: keyed ones and a witness come back under their keys") {
    must("promote b.db" + kForce);
    REQUIRE(failover("b")["voters"].size() == 1);
    for (const char* back : {"w", "c", "a"}) start(back);
    const auto all_vote = [&](const std::string& name) {
        const auto view = failover(name);
        return is_forced(view) && view["voters"].size() == 4 && is_primary(name);
    };
    std::string leader;
    REQUIRE_MESSAGE(eventually([&] {
                        leader = primary_of({"a", "b", "c"});
                        return all_vote(leader) && write(leader, 2) == "ok";
                    }),
                    everybody_said());
    for (const char* data : {"a", "b", "c"}) CHECK(equal_soon(leader, {data}));
}
