// Voters elect a primary while real processes die, stop and come back.
#include <doctest/doctest.h>

#include <filesystem>
#include <thread>

#include "tests/support/electorate.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

// The node's audit log has a whole line (who, what, when, result) of the command.
bool audited(const Voter& node, const std::string& what, const std::string& result) {
    std::istringstream lines(file_text(Layout(node.db).audit_log()));
    for (std::string line; std::getline(lines, line);) {
        const nlohmann::json entry = nlohmann::json::parse(line);
        if (entry.at("what") != what || entry.at("who") == "" || entry.at("time") == "") continue;
        if (entry.at("result").get<std::string>().find(result) != std::string::npos) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("elections: after the primary's death a replica is elected and the other follows it") {
    Electorate group;
    REQUIRE(group.writes(group.a, "kept") == "ok");
    group.a.daemon.kill();
    const Voter* next = group.elected({&group.b, &group.c});
    REQUIRE(next != nullptr);
    const Voter& other = next == &group.b ? group.c : group.b;
    CHECK(group.writes_soon(*next, "after"));
    CHECK(next->ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
    CHECK(group.equal_soon(*next, {&other}));
    CHECK(group.status(other)["role"] == "replica");
    CHECK(
        eventually([&] { return group.failover(other)["holder"]["endpoint"] == next->endpoint; }));
}

// The classic case of primary and backup: the commit is on b's disk and b has said so; the
// primary's application was let go on, and dies before anybody is told.
TEST_CASE("elections: what a replica had acknowledged is kept although the client was never told") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "before"));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    group.c.daemon.kill();  // nobody but b can acknowledge
    OpenOptions options;
    options.extension = kExtension;
    options.parameters = "vfs=tanist&ack=durable:1";
    Application writer(group.a.db, options);
    writer.send("INSERT INTO t VALUES('held')", Accident::stop_after_commit_frame);
    REQUIRE(writer.answer() == "stopped");
    group.a.daemon.kill();
    writer.kill();
    group.b.daemon.kill();  // it knows what is on its disk
    // c lacks the commit and asks b, which has just come back and leaves others the first turn.
    group.start(group.c);
    group.start(group.b);
    const nlohmann::json refusal = {{"name", "b"}, {"reason", "its log goes further"}};
    REQUIRE_MESSAGE(eventually([&] {
                        const nlohmann::json refusals = group.failover(group.c)["refusals"];
                        return std::find(refusals.begin(), refusals.end(), refusal) !=
                               refusals.end();
                    }),
                    group.story());
    REQUIRE_MESSAGE(group.elected({&group.b, &group.c}) == &group.b, group.story());
    CHECK(group.b.ask("SELECT count(*) FROM t WHERE x = 'held'") == "1");
    CHECK(group.writes_soon(group.b, "after"));
    group.start(group.a);
    CHECK(group.equal_soon(group.b, {&group.a, &group.c}));
    CHECK(group.a.ask("SELECT count(*) FROM t") == "3");
    CHECK(group.run("diverged list a.db --json").says("\"diverged\":[]"));
}

// As it is when the primary dies before it has told who belongs to the cluster.
TEST_CASE("elections: who knows the voters alone finds the members among them") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "before"));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    for (const Voter* node : {&group.b, &group.c}) {
        REQUIRE(eventually([&] { return std::filesystem::exists(node->db + "-tanist/members"); }));
        std::filesystem::remove(node->db + "-tanist/members");
    }
    group.a.daemon.kill();
    const Voter* next = group.elected({&group.b, &group.c});
    REQUIRE_MESSAGE(next != nullptr, group.story());
    CHECK(group.writes_soon(*next, "after"));
    CHECK(group.equal_soon(*next, {next == &group.b ? &group.c : &group.b}));
}

TEST_CASE("elections: the old primary comes back as a replica, its lost commits saved") {
    Electorate group;
    REQUIRE(group.writes(group.a, "kept") == "ok");
    group.b.daemon.kill();
    group.c.daemon.kill();
    // A process without the extension waits for nobody.
    StockSqlite(group.a.db).must("INSERT INTO t VALUES('lost')");
    REQUIRE(eventually([&] { return group.status(group.a)["data_at_risk"]["transactions"] > 0; }));
    group.a.daemon.kill();
    group.start(group.b);
    group.start(group.c);
    const Voter* next = group.elected({&group.b, &group.c});
    REQUIRE(next != nullptr);
    REQUIRE(group.writes_soon(*next, "after"));
    group.start(group.a);
    const Voter& other = next == &group.b ? group.c : group.b;
    CHECK(group.equal_soon(*next, {&group.a, &other}));
    CHECK(group.status(group.a)["role"] == "replica");
    CHECK(group.a.ask("SELECT count(*) FROM t WHERE x = 'lost'") == "0");
    const auto list = nlohmann::json::parse(group.run("diverged list a.db --json").text);
    REQUIRE(list["diverged"].size() == 1);
    CHECK(list["diverged"][0]["commits"] == 1);
}

TEST_CASE("elections: a primary that was stopped does not write when it goes on") {
    Electorate group;
    OpenOptions options;
    options.extension = kExtension;
    options.parameters = "vfs=tanist&ack=async";
    options.busy_timeout_ms = 0;
    Application writer(group.a.db, options);
    REQUIRE(writer.run("INSERT INTO t VALUES('first')") == "ok");
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    group.a.pause();
    REQUIRE(group.elected({&group.b, &group.c}) != nullptr);
    // Its daemon still sleeps: the lease alone forbids it.
    CHECK(writer.run("INSERT INTO t VALUES('late')").starts_with("error"));
    group.a.go_on();
    CHECK(eventually([&] { return group.status(group.a)["role"] == "replica"; }));
    CHECK(writer.run("INSERT INTO t VALUES('later')").starts_with("error"));
    CHECK(group.a.ask("SELECT count(*) FROM t") == "1");
}

TEST_CASE("elections: a primary that loses its majority stops writing, and goes on with it") {
    Electorate group;
    group.b.pause();
    group.c.pause();
    CHECK(eventually([&] { return group.writes(group.a, "alone").starts_with("error"); }));
    CHECK(eventually([&] { return group.failover(group.a)["gate"] == "closed"; }));
    group.b.go_on();
    CHECK(group.elected({&group.a, &group.b}) != nullptr);
}

TEST_CASE("elections: two data nodes and a witness survive the loss of any one") {
    Electorate group(true);
    REQUIRE(group.writes(group.a, "first") == "ok");
    group.c.daemon.kill();
    CHECK(group.writes_soon(group.a, "without the witness"));
    group.start(group.c);
    REQUIRE(eventually([&] { return group.votes(group.c); }));
    CHECK_FALSE(path_exists(group.c.db));
    // On a loaded machine it may have degraded, and a failover then is an operator's to order.
    REQUIRE(eventually([&] { return group.failover(group.a)["policy"]["k"] == 1; }));
    group.a.daemon.kill();
    REQUIRE_MESSAGE(group.elected({&group.b}) == &group.b, group.story());
    CHECK(group.b.ask("SELECT count(*) FROM t") == "2");
    group.start(group.a);
    CHECK(group.writes_soon(group.b, "with the old one back"));
    CHECK(group.equal_soon(group.b, {&group.a}));
}

TEST_CASE("elections: switchover hands over without loss, there and back") {
    Electorate group;
    REQUIRE(group.writes(group.a, "before") == "ok");
    const Outcome there = group.run("switchover a.db --to b");
    CHECK_MESSAGE(there.code == 0, there.text);
    CHECK(group.writes_soon(group.b, "at b"));
    CHECK(group.status(group.a)["role"] == "replica");
    REQUIRE(group.equal_soon(group.b, {&group.a, &group.c}));
    REQUIRE(eventually(
        [&] { return group.run("switchover b.db --to " + group.a.endpoint).code == 0; }));
    CHECK(group.writes_soon(group.a, "back at a"));
    CHECK(group.equal_soon(group.a, {&group.b, &group.c}));
    CHECK(group.a.ask("SELECT count(*) FROM t") == "3");
    CHECK(group.run("diverged list a.db --json").text.find("\"diverged\":[]") != std::string::npos);
}

// It does not know what it promised before, so it votes for nobody, itself included, for a while.
TEST_CASE("elections: a switchover waits for a member that was started a moment ago") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "before"));
    group.b.daemon.kill();
    std::filesystem::remove(group.b.db + "-tanist/promise");
    group.start(group.b);
    CHECK(eventually([&] { return group.failover(group.b).contains("withholds_seconds"); }));
    // A busy machine may take too long for the hand-over itself, which then changes nothing.
    Outcome done;
    REQUIRE(eventually([&] {
        done = group.run("switchover a.db --to b");
        return !done.says("does not follow just now") && !done.says("nothing was changed");
    }));
    CHECK_MESSAGE(done.code == 0, done.text);
    CHECK(group.writes_soon(group.b, "after"));
    CHECK(group.equal_soon(group.b, {&group.a, &group.c}));
}

TEST_CASE("elections: a switchover to a member that does not follow changes nothing") {
    Electorate group;
    group.b.daemon.kill();
    REQUIRE(eventually([&] { return group.run("switchover a.db --to b").code != 0; }));
    CHECK(group.writes_soon(group.a, "goes on"));
    CHECK(group.is_primary(group.a));
}

TEST_CASE("elections: paused, nobody is elected until an operator says so") {
    Electorate group;
    const Outcome elsewhere = group.run("pause b.db");
    CHECK(elsewhere.code == 3);
    CHECK(elsewhere.says(group.a.endpoint));
    const Outcome paused = group.run("pause a.db");
    REQUIRE_MESSAGE(paused.code == 0, paused.text);
    REQUIRE(eventually([&] { return group.failover(group.b)["policy"]["paused"] == true; }));
    group.a.daemon.kill();
    // The promise is over, and it says why it does nothing.
    REQUIRE(eventually([&] { return group.failover(group.b)["promise_seconds"].is_null(); }));
    CHECK(group.failover(group.b)["why_not"].get<std::string>().find("paused") !=
          std::string::npos);
    CHECK_FALSE(group.is_primary(group.b));
    const Outcome promoted = group.run("promote b.db --yes");
    CHECK_MESSAGE(promoted.code == 0, promoted.text);
    CHECK(group.is_primary(group.b));
    CHECK(group.failover(group.b)["policy"]["paused"] == true);
    CHECK(group.run("resume b.db").code == 0);
    CHECK(audited(group.b, "pause", group.a.endpoint));  // refused, with the reason
    CHECK(audited(group.a, "pause", "done"));
    CHECK(audited(group.b, "promote", "done"));
    CHECK(audited(group.b, "resume", "done"));
}

TEST_CASE("elections: an asynchronous group loses its primary, and an operator promotes") {
    Electorate group(false, "async");
    REQUIRE(group.writes(group.a, "kept") == "ok");
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    group.a.daemon.kill();
    REQUIRE(eventually([&] { return group.failover(group.b)["promise_seconds"].is_null(); }));
    CHECK_FALSE(group.is_primary(group.b));
    const Outcome promoted = group.run("promote b.db --yes");
    CHECK_MESSAGE(promoted.code == 0, promoted.text);
    CHECK(group.writes_soon(group.b, "after"));
    CHECK(group.failover(group.b)["voters"].size() == 3);
    group.start(group.a);
    CHECK(group.equal_soon(group.b, {&group.a, &group.c}));
}

TEST_CASE("elections: two operators at once do not make two primaries") {
    Electorate group;
    group.must("pause a.db");
    group.a.daemon.kill();
    Outcome at_b, at_c;
    std::thread other([&] { at_c = group.run("promote c.db --yes"); });
    at_b = group.run("promote b.db --yes");
    other.join();
    CHECK_MESSAGE((at_b.code != 0 || at_c.code != 0), (at_b.text + at_c.text));
    const auto leads = [&] { return group.is_primary(group.b) || group.is_primary(group.c); };
    CHECK_FALSE((group.is_primary(group.b) && group.is_primary(group.c)));
    // On a busy machine each can take the votes from the other until both give up. One of them was
    // elected for a moment, perhaps, and its log then goes further.
    const auto promotes = [&](const std::string& db) {
        return group.run("promote " + db + " --yes").code == 0;
    };
    CHECK_MESSAGE(eventually([&] { return leads() || promotes("b.db") || promotes("c.db"); }),
                  group.story());
}

// As it is when the primary dies before it has told who belongs to the cluster.
TEST_CASE("elections: a node that has heard no roster is no majority") {
    Electorate group;
    REQUIRE(eventually([&] { return path_exists(Layout(group.b.db).members()); }));
    group.a.daemon.kill();
    group.c.daemon.kill();
    std::filesystem::remove(Layout(group.b.db).members());
    const Outcome refused = group.run("promote b.db --yes");
    CHECK(refused.code == 3);
    CHECK_MESSAGE(refused.says("no majority"), refused.text);
}

TEST_CASE("elections: without a majority a promotion takes force, and who comes back follows") {
    Electorate group;
    REQUIRE(group.writes(group.a, "kept") == "ok");
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    // Else it would not know whom to ask for once it votes alone.
    REQUIRE(eventually([&] { return path_exists(Layout(group.b.db).members()); }));
    group.a.daemon.kill();
    group.c.daemon.kill();
    const Outcome refused = group.run("promote b.db --yes");
    CHECK(refused.code == 3);
    CHECK(refused.says("no majority"));
    const Outcome forced = group.run("promote b.db --yes --force --accept-loss --assert-fenced a");
    CHECK_MESSAGE(forced.code == 0, forced.text);
    REQUIRE(group.is_primary(group.b));
    StockSqlite(group.b.db).must("INSERT INTO t VALUES('alone')");
    group.start(group.a);
    CHECK_MESSAGE(group.equal_soon(group.b, {&group.a}), group.story());
    CHECK(eventually([&] { return group.failover(group.b)["voters"].size() == 2; }));
}

namespace {

// A fourth voter.
Voter& join_fourth(Electorate& group, Voter& d) {
    d.name = "d";
    d.db = group.dir.path("d.db");
    d.endpoint = "ipc://" + group.dir.path("d.sock");
    group.start(d);
    group.must("members add a.db " + d.endpoint + " --name d");
    REQUIRE(eventually([&] { return group.failover(group.a)["voters"].size() == 4; }));
    REQUIRE(eventually([&] { return group.is_primary(group.a) && group.votes(d); }));
    return d;
}

}  // namespace

TEST_CASE("elections: a member that is added votes, and one that is removed does not") {
    Electorate group;
    Voter fourth;
    Voter& d = join_fourth(group, fourth);
    CHECK(group.writes_soon(group.a, "with four"));
    CHECK(group.equal_soon(group.a, {&group.b, &group.c, &d}));
    group.must("members remove a.db d");
    REQUIRE(eventually([&] { return group.failover(group.a)["voters"].size() == 3; }));
    CHECK(group.elected({&group.a}) != nullptr);
    CHECK(group.writes_soon(group.a, "with three"));
}

// A change of the voters needs an election, which a pause forbids.
TEST_CASE("elections: paused, a member that is added waits for its vote, and the primary stays") {
    Electorate group;
    group.must("pause a.db");
    group.must("members add a.db ipc://" + group.dir.path("d.sock") + " --name d");
    Voter d;
    d.name = "d";
    d.db = group.dir.path("d.db");
    d.endpoint = "ipc://" + group.dir.path("d.sock");
    group.start(d);
    REQUIRE(eventually([&] { return group.run("status a.db").says("elections are paused"); }));
    CHECK(group.writes_soon(group.a, "paused"));
    CHECK(group.equal_soon(group.a, {&d}));
    CHECK(group.failover(group.a)["voters"].size() == 3);
    group.must("resume a.db");
    CHECK(eventually([&] { return group.failover(group.a)["voters"].size() == 4; }));
    CHECK(eventually([&] { return group.is_primary(group.a) && group.votes(d); }));
}

// The primary dies after the new member's vote is recorded, before everybody has heard of it.
TEST_CASE("elections: who is elected with an old roster keeps the member that was just added") {
    Electorate group;
    const std::string old_roster = file_text(Layout(group.a.db).members());
    Voter fourth;
    Voter& d = join_fourth(group, fourth);
    REQUIRE(group.writes_soon(group.a, "with four"));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c, &d}));
    for (const Voter* node : {&group.b, &group.c}) {
        const std::string roster = Layout(node->db).members();
        REQUIRE(
            eventually([&] { return file_text(roster).find(d.endpoint) != std::string::npos; }));
        write_text(roster, old_roster);
    }
    group.must("pause a.db");  // an operator chooses who is next
    group.a.daemon.kill();
    REQUIRE(eventually([&] { return group.run("promote b.db --yes").code == 0; }));
    REQUIRE(group.writes_soon(group.b, "after"));
    CHECK(group.equal_soon(group.b, {&group.c, &d}));
    CHECK(group.failover(group.b)["voters"].size() == 4);
    // A change that is made from here on takes nobody's vote either.
    group.must("resume b.db");
    group.start(group.a);
    REQUIRE(group.equal_soon(group.b, {&group.a}));
    group.must("members remove b.db " + group.c.endpoint);
    REQUIRE(eventually([&] {
        return group.failover(group.b)["voters"].size() == 3 && group.is_primary(group.b);
    }));
    CHECK(group.writes_soon(group.b, "without c"));
    CHECK(group.equal_soon(group.b, {&group.a, &d}));
}
