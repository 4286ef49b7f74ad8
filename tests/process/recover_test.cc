// `tanist recover --accept-suspect`: an operator's word where a group stands still, because voters
// do not know what they promised and those who could tell are gone.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/electorate.h"

using namespace tanist;
using namespace tanist::testing;
namespace fs = std::filesystem;

namespace {

void lose_ballot_of(Voter& node) {
    node.daemon.kill();
    fs::remove(node.db + "-tanist/ballot");
}

// The primary's machine is gone for good, and c does not know what it promised.
struct Stuck : Electorate {
    Stuck() {
        REQUIRE(writes_soon(a, "kept"));
        REQUIRE(equal_soon(a, {&b, &c}));
        a.daemon.kill();
        lose_ballot_of(c);
        start(c);
        REQUIRE(eventually([&] { return failover(c)["lost_ballot"] == true; }));
        REQUIRE(eventually([&] { return !failover(b)["refusals"].empty(); }));
    }
    nlohmann::json plan() const {
        return nlohmann::json::parse(run("recover c.db --dry-run --json").text)["plan"];
    }
    std::string audited() const { return file_text(Layout(c.db).audit_log()); }
};

}  // namespace

TEST_CASE_FIXTURE(Stuck, "recover: a voter without its ballot counts again by an operator's word") {
    CHECK_FALSE(is_primary(b));
    const Outcome done = run("recover c.db --accept-suspect --yes");
    CHECK_MESSAGE(done.code == 0, done.text);
    CHECK(done.says("votes again, under a promise above all that it can have forgotten"));
    CHECK(done.says("c.db counts again"));
    const Voter* next = elected({&b, &c});
    REQUIRE_MESSAGE(next != nullptr, story());
    CHECK(writes_soon(*next, "after"));
    CHECK(next->ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
    CHECK(audited().find("\"recover\"") != std::string::npos);
    CHECK(audited().find("uid ") != std::string::npos);
    // Who comes back follows, whatever it had promised.
    start(a);
    CHECK(equal_soon(*next, {&a, &b, &c}));
}

TEST_CASE_FIXTURE(Stuck, "recover: the plan comes first, and nothing is done without a yes") {
    const nlohmann::json before = plan();
    CHECK(before["lost_ballot"] == true);
    CHECK(before["log_counts"] == true);
    CHECK(before["impossible"] == "");
    CHECK(before["members"].size() == 2);
    CHECK(run("recover c.db").code == 2);
    const std::string no = "sh -c 'echo n | " + kTanist + " recover c.db --accept-suspect'";
    const Outcome refused = shell(dir, no);
    CHECK(refused.code == 3);
    CHECK(refused.says("Plan: "));
    CHECK(refused.says("nobody said yes"));
    CHECK(plan() == before);
    CHECK(audited().find("recover") == std::string::npos);
    const std::string yes = "sh -c 'echo y | " + kTanist + " recover c.db --accept-suspect'";
    CHECK(shell(dir, yes).code == 0);
    CHECK(elected({&b, &c}) != nullptr);
}

// Two of three cannot help each other: each must hear of all others what they promised.
TEST_CASE("recover: of two voters without ballots, one needs the word, and the other learns") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "kept"));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    group.a.daemon.kill();
    lose_ballot_of(group.b);
    lose_ballot_of(group.c);
    for (Voter* node : {&group.a, &group.b, &group.c}) group.start(*node);
    REQUIRE(eventually([&] { return !group.failover(group.a)["refusals"].empty(); }));
    CHECK(group.failover(group.b)["lost_ballot"] == true);
    CHECK(group.failover(group.c)["lost_ballot"] == true);
    const Outcome done = group.run("recover b.db --accept-suspect --yes --json");
    CHECK_MESSAGE(done.code == 0, done.text);
    const Voter* next = group.elected({&group.a, &group.b, &group.c});
    REQUIRE_MESSAGE(next != nullptr, group.story());
    CHECK(eventually([&] { return group.failover(group.c)["lost_ballot"] == false; }));
    CHECK(group.writes_soon(*next, "after"));
    CHECK(next->ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
    CHECK(group.equal_soon(*next, {&group.a, &group.b, &group.c}));
}

TEST_CASE("recover: while a primary serves there is nothing to accept") {
    Electorate group;
    const Outcome sound = group.run("recover b.db --accept-suspect --yes --json");
    CHECK(sound.code == 0);
    CHECK(nlohmann::json::parse(sound.text)["already"] == true);
    const Outcome planned = group.run("recover b.db --dry-run");
    CHECK(planned.code == 0);
    CHECK(planned.says("is the primary: it gives this node what it lacks"));
    CHECK(group.failover(group.b)["promised"] == group.failover(group.a)["epoch"]);
}

TEST_CASE("recover: where nobody votes it is refused") {
    Pair pair("CREATE TABLE t(x)");
    const Outcome refused = shell(pair.dir, kTanist + " recover replica.db --accept-suspect --yes");
    CHECK(refused.code == 3);
    CHECK(refused.says("nobody votes here"));
}
