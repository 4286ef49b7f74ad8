// Elections after what happens to files, applications and operators: ballots and tokens that are
// lost, cut or old, an application that ends, two operators on two sides, restarts one by one.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/electorate.h"

using namespace tanist;
using namespace tanist::testing;
namespace fs = std::filesystem;

namespace {

std::string ballot_of(const Voter& node) { return node.db + "-tanist/ballot"; }
std::string token_of(const Voter& node) { return node.db + "-tanist/token"; }

std::string log_of(const Voter& node) { return Layout(node.db).log(); }

void cut(const std::string& path) { fs::resize_file(path, 100); }

// Each 64th byte is another one.
void garble(const std::string& path) {
    std::string bytes = file_text(path);
    for (size_t at = 7; at < bytes.size(); at += 64) bytes[at] = static_cast<char>(~bytes[at]);
    write_text(path, bytes);
}

std::string last_segment_of(const Voter& node) {
    std::string last;
    for (const auto& entry : fs::directory_iterator(log_of(node))) {
        const std::string name = entry.path().filename();
        if (name.ends_with(".log") && name[0] == '0') last = std::max(last, entry.path().string());
    }
    return last;
}

// Half of what its log holds.
uint64_t middle_of_log(const Voter& node) {
    const std::string bytes = file_text(last_segment_of(node));
    return bytes.find_last_not_of('\0') / 2;
}

// A damaged log is not guessed at: the daemon ends with one sentence, which names the way on.
void begin_log_anew(Electorate& group, Voter& node) {
    Daemon refused(group.dir, group.arguments_of(node));
    CHECK_FALSE(refused.ready());
    CHECK(refused.wait() == 1);
    CHECK_MESSAGE(refused.says("move that directory away to begin a new log"), refused.said());
    fs::rename(log_of(node), log_of(node) + ".damaged");
}

// b comes back without the knowledge of what it promised, while a is away: it must not help anybody
// to be elected before everybody has told it.
void lose_ballot(Electorate& group, const std::function<void()>& damage) {
    REQUIRE(group.writes_soon(group.a, "kept"));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    group.b.daemon.kill();
    damage();
    group.a.daemon.kill();
    group.start(group.b);
    REQUIRE(eventually([&] { return group.failover(group.b)["lost_ballot"] == true; }));
    REQUIRE(eventually([&] { return group.failover(group.c)["promise_seconds"].is_null(); }));
    REQUIRE_MESSAGE(eventually([&] { return !group.failover(group.c)["refusals"].empty(); }),
                    group.story());
    CHECK_FALSE(group.is_primary(group.b));
    CHECK_FALSE(group.is_primary(group.c));
    group.start(group.a);
    const Voter* next = group.elected({&group.a, &group.b, &group.c});
    REQUIRE_MESSAGE(next != nullptr, group.story());
    CHECK(eventually([&] { return group.failover(group.b)["lost_ballot"] == false; }));
    CHECK_MESSAGE(group.writes_soon(*next, "after"), group.writes(*next, "again"), group.story());
    CHECK(next->ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
}

// A commit is on `kept` and on `damaged` alone. Then the log of `damaged` is lost and `kept` is
// away: the third one lacks the commit, and must not be elected by the word of a log that lacks it,
// too.
void lose_log(Electorate& group, Voter& kept, Voter& damaged, const std::function<void()>& damage) {
    REQUIRE(group.writes_soon(group.a, "before"));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    group.b.daemon.kill();
    REQUIRE(group.writes_soon(group.a, "kept"));
    group.a.daemon.kill();
    group.c.daemon.kill();
    damage();
    group.start(group.b);
    group.start(damaged);
    REQUIRE_MESSAGE(eventually([&] { return group.failover(damaged)["suspect"] == true; }),
                    group.story());
    REQUIRE(eventually([&] { return group.failover(damaged)["withholds_seconds"].is_null(); }));
    REQUIRE_MESSAGE(eventually([&] { return group.failover(group.b)["candidate"] == "asking"; }),
                    group.story());
    CHECK_FALSE(group.is_primary(group.b));
    CHECK_FALSE(group.is_primary(damaged));
    group.start(kept);
    REQUIRE_MESSAGE(group.elected({&kept}) != nullptr, group.story());
    CHECK(group.writes_soon(kept, "after"));
    CHECK(group.equal_soon(kept, {&group.b, &damaged}));
    CHECK(damaged.ask("SELECT count(*) FROM t WHERE x IN ('before', 'kept', 'after')") == "3");
    CHECK(eventually([&] { return group.failover(damaged)["suspect"] == false; }));
}

}  // namespace

TEST_CASE("election faults: a voter whose ballot is gone helps nobody before it has learned") {
    Electorate group;
    lose_ballot(group, [&] { fs::remove(ballot_of(group.b)); });
}

TEST_CASE("election faults: a voter whose ballot is cut helps nobody before it has learned") {
    Electorate group;
    lose_ballot(group, [&] { cut(ballot_of(group.b)); });
}

TEST_CASE("election faults: a voter whose ballot is garbled helps nobody before it has learned") {
    Electorate group;
    lose_ballot(group, [&] { garble(ballot_of(group.b)); });
}

TEST_CASE("election faults: a ballot from a backup is noticed") {
    Electorate group;
    const std::string backup = group.dir.path("backup");
    fs::copy_file(ballot_of(group.b), backup);
    // A later epoch, which the old ballot does not know.
    REQUIRE(eventually([&] { return group.run("switchover a.db --to c").code == 0; }));
    REQUIRE(group.equal_soon(group.c, {&group.a, &group.b}));
    REQUIRE(eventually(
        [&] { return group.run("switchover c.db --to " + group.a.endpoint).code == 0; }));
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    lose_ballot(group, [&] {
        fs::copy_file(backup, ballot_of(group.b), fs::copy_options::overwrite_existing);
    });
}

TEST_CASE("election faults: a replica whose log is gone elects nobody who lacks a commit") {
    Electorate group;
    lose_log(group, group.a, group.c, [&] { fs::remove_all(log_of(group.c)); });
}

TEST_CASE("election faults: a log from a backup elects nobody who lacks a commit") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "first"));
    REQUIRE(group.equal_soon(group.a, {&group.c}));
    const std::string backup = group.dir.path("backup");
    fs::copy(log_of(group.c), backup);
    lose_log(group, group.a, group.c, [&] {
        fs::remove_all(log_of(group.c));
        fs::copy(backup, log_of(group.c));
    });
}

TEST_CASE("election faults: a replica whose log is cut elects nobody who lacks a commit") {
    Electorate group;
    lose_log(group, group.a, group.c, [&] {
        fs::resize_file(last_segment_of(group.c), middle_of_log(group.c));
        begin_log_anew(group, group.c);
    });
}

TEST_CASE("election faults: a replica whose log is garbled elects nobody who lacks a commit") {
    Electorate group;
    lose_log(group, group.a, group.c, [&] {
        std::string bytes = file_text(last_segment_of(group.c));
        bytes[middle_of_log(group.c)] ^= 1;
        write_text(last_segment_of(group.c), bytes);
        begin_log_anew(group, group.c);
    });
}

TEST_CASE("election faults: a primary whose log is gone elects nobody who lacks a commit") {
    Electorate group;
    lose_log(group, group.c, group.a, [&] { fs::remove_all(log_of(group.a)); });
}

TEST_CASE("election faults: a primary whose log is cut elects nobody who lacks a commit") {
    Electorate group;
    lose_log(group, group.c, group.a, [&] {
        fs::resize_file(last_segment_of(group.a), middle_of_log(group.a));
        begin_log_anew(group, group.a);
    });
}

TEST_CASE("election faults: a primary's log from a backup elects nobody who lacks a commit") {
    Electorate group;
    REQUIRE(group.writes_soon(group.a, "first"));
    REQUIRE(group.equal_soon(group.a, {&group.c}));
    const std::string backup = group.dir.path("backup");
    fs::copy(log_of(group.a), backup);
    lose_log(group, group.c, group.a, [&] {
        fs::remove_all(log_of(group.a));
        fs::copy(backup, log_of(group.a));
    });
}

// The witness's vote is half of what makes b the primary.
TEST_CASE("election faults: a witness whose ballot is gone helps nobody before it has learned") {
    Electorate group(true);
    REQUIRE(group.writes_soon(group.a, "kept"));
    REQUIRE(group.equal_soon(group.a, {&group.b}));
    group.c.daemon.kill();
    fs::remove(ballot_of(group.c));
    group.a.daemon.kill();
    group.start(group.c);
    REQUIRE(eventually([&] { return group.failover(group.c)["lost_ballot"] == true; }));
    REQUIRE(eventually([&] { return !group.failover(group.b)["refusals"].empty(); }));
    CHECK_FALSE(group.is_primary(group.b));
    group.start(group.a);
    const Voter* next = group.elected({&group.a, &group.b});
    REQUIRE_MESSAGE(next != nullptr, group.story());
    CHECK(eventually([&] { return group.failover(group.c)["lost_ballot"] == false; }));
    CHECK(group.writes_soon(*next, "after"));
    CHECK(next->ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
}

TEST_CASE("election faults: tokens that are lost come again, old ones are not obeyed") {
    Electorate group;
    const std::string backup = group.dir.path("backup");
    fs::copy_file(token_of(group.c), backup);
    REQUIRE(eventually([&] { return group.run("switchover a.db --to b").code == 0; }));
    REQUIRE(group.writes_soon(group.b, "kept"));
    for (Voter* node : {&group.a, &group.c}) node->daemon.kill();
    fs::remove(token_of(group.a));
    fs::copy_file(backup, token_of(group.c), fs::copy_options::overwrite_existing);
    group.start(group.a);
    group.start(group.c);
    CHECK(group.elected({&group.a, &group.b, &group.c}) != nullptr);
    const Voter* holder = group.elected({&group.a, &group.b, &group.c});
    REQUIRE(holder != nullptr);
    CHECK(group.writes_soon(*holder, "after"));
    CHECK(group.equal_soon(*holder, {&group.a, &group.b, &group.c}));
    CHECK(holder->ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
}

// The daemon looks for applications from time to time, so one that is gone at once may not be seen.
TEST_CASE("election faults: on_app_exit = release, the application's end is the primacy's end") {
    Electorate group(false, "durable:1", {"--on-app-exit", "release"});
    REQUIRE(group.writes(group.a, "kept") == "ok");
    REQUIRE(eventually([&] {
        group.writes(group.a, "more");
        return group.is_primary(group.b) || group.is_primary(group.c);
    }));
    const Voter* next = group.elected({&group.b, &group.c});
    REQUIRE(next != nullptr);
    CHECK(group.writes_soon(*next, "after"));
    CHECK(next->ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
}

// What was committed while degraded is on the primary alone, and a majority knows that.
TEST_CASE("election faults: who missed the commits of a degraded primary is not elected") {
    Electorate group(true);
    REQUIRE(group.writes(group.a, "first") == "ok");
    REQUIRE(group.equal_soon(group.a, {&group.b}));
    group.b.daemon.kill();
    REQUIRE(group.writes_soon(group.a, "alone"));
    REQUIRE(eventually([&] { return group.failover(group.c)["policy"]["k"] == 0; }));
    group.a.daemon.kill();
    group.start(group.b);
    REQUIRE(eventually([&] { return group.failover(group.b)["candidate"] == "asking"; }));
    CHECK_FALSE(group.is_primary(group.b));
    group.start(group.a);
    REQUIRE(group.elected({&group.a}) != nullptr);
    CHECK(group.a.ask("SELECT count(*) FROM t WHERE x = 'alone'") == "1");
    CHECK(eventually([&] { return group.failover(group.a)["policy"]["k"] == 1; }));
    CHECK(group.equal_soon(group.a, {&group.b}));
}

TEST_CASE("election faults: two operators force two sides, and one history is left") {
    Electorate group;
    REQUIRE(group.writes(group.a, "kept") == "ok");
    REQUIRE(group.equal_soon(group.a, {&group.b, &group.c}));
    group.a.daemon.kill();
    const std::string force = " --yes --force --accept-loss --assert-fenced a";
    group.c.pause();
    REQUIRE(group.run("promote b.db" + force).code == 0);
    REQUIRE(group.is_primary(group.b));
    StockSqlite(group.b.db).must("INSERT INTO t VALUES('on b')");
    group.b.pause();
    group.c.go_on();
    REQUIRE(group.run("promote c.db" + force).code == 0);
    REQUIRE(group.is_primary(group.c));
    StockSqlite(group.c.db).must("INSERT INTO t VALUES('on c')");
    group.b.go_on();
    const auto alone = [&] { return group.is_primary(group.b) != group.is_primary(group.c); };
    REQUIRE(eventually([&] {
        return alone() && (group.status(group.b)["role"] == "replica" ||
                           group.status(group.c)["role"] == "replica");
    }));
    const Voter& winner = group.is_primary(group.b) ? group.b : group.c;
    const Voter& loser = &winner == &group.b ? group.c : group.b;
    CHECK(group.equal_soon(winner, {&loser}));
    CHECK(winner.ask("SELECT count(*) FROM t WHERE x = 'kept'") == "1");
    const std::string list = group.run("diverged list " + loser.db + " --json").text;
    CHECK(nlohmann::json::parse(list)["diverged"].size() == 1);
}

TEST_CASE("election faults: all nodes are restarted one by one, and nothing is lost") {
    Electorate group;
    int written = 0;
    const auto write = [&](const Voter& node) {
        REQUIRE(group.writes_soon(node, "row " + std::to_string(++written)));
    };
    write(group.a);
    for (Voter* node : {&group.b, &group.c}) {
        node->daemon.stop();
        write(group.a);
        group.start(*node);
        REQUIRE(group.equal_soon(group.a, {node}));
    }
    REQUIRE(eventually([&] { return group.run("switchover a.db --to b").code == 0; }));
    write(group.b);
    group.a.daemon.stop();
    write(group.b);
    group.start(group.a);
    CHECK(group.equal_soon(group.b, {&group.a, &group.c}));
    CHECK(group.is_primary(group.b));
    CHECK(group.b.ask("SELECT count(DISTINCT x) FROM t") == std::to_string(written));
}

// Each run kills another node at another moment of a switchover; whoever is primary afterwards has
// all that was confirmed.
TEST_CASE("election faults: a node dies in the middle of a switchover") {
    Electorate group;
    int written = 0;
    for (int run = 0; run < 6; ++run) {
        const Voter* holder = group.elected({&group.a, &group.b, &group.c});
        REQUIRE(holder != nullptr);
        REQUIRE(group.writes_soon(*holder, "row " + std::to_string(++written)));
        REQUIRE(group.equal_soon(*holder, {&group.a, &group.b, &group.c}));
        Voter* nodes[] = {&group.a, &group.b, &group.c};
        Voter* target = holder == nodes[0] ? nodes[1] : nodes[0];
        Voter* victim = nodes[run % 3];
        std::thread order(
            [&] { group.run("switchover " + holder->db + " --to " + target->endpoint); });
        // Not a wait for anything: the moment of the blow.
        std::this_thread::sleep_for(std::chrono::milliseconds(10 + 7 * run));
        victim->daemon.kill();
        order.join();
        group.start(*victim);
    }
    const Voter* holder = group.elected({&group.a, &group.b, &group.c});
    REQUIRE(holder != nullptr);
    CHECK(group.writes_soon(*holder, "row " + std::to_string(++written)));
    CHECK(group.equal_soon(*holder, {&group.a, &group.b, &group.c}));
    CHECK(holder->ask("SELECT count(DISTINCT x) FROM t") == std::to_string(written));
}
