// Commits that wait for replicas: what is seen when, and how an unmet rule ends. The rule is met or
// not by stopping and continuing the replica's process.
#include <signal.h>
#include <sqlite3.h>

#include <atomic>
#include <thread>

#include "tests/support/sync_cluster.h"

using namespace tanist;
using namespace tanist::testing;

TEST_CASE("sync: a commit that returned is on the replica's disk") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1"));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    const int before = cluster.commits_in_replica_log();
    REQUIRE_MESSAGE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK, cluster.why(app));
    CHECK(cluster.commits_in_replica_log() == before + 1);
}

TEST_CASE("sync: nobody sees a commit before it is confirmed") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    cluster.stop_replica();
    std::atomic<int> rc{-1};
    std::thread committer([&] { rc = app.run("INSERT INTO t VALUES(1)"); });
    REQUIRE(cluster.posted());
    CHECK(cluster.stock("SELECT count(*) FROM t") == "0");
    CHECK(rc == -1);
    cluster.go_on_replica();
    committer.join();
    CHECK(rc == SQLITE_OK);
    CHECK(cluster.stock("SELECT count(*) FROM t") == "1");
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "1"));
}

TEST_CASE("sync: readers and passive checkpoints go on while a commit waits") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("CREATE TABLE t(x); INSERT INTO t VALUES(1)") == SQLITE_OK);
    cluster.stop_replica();
    std::thread committer([&] { app.run("INSERT INTO t VALUES(2)"); });
    REQUIRE(cluster.posted());
    CHECK(cluster.stock("SELECT count(*) FROM t") == "1");
    CHECK(cluster.stock("PRAGMA wal_checkpoint(PASSIVE)") == "0");
    cluster.go_on_replica();
    committer.join();
}

TEST_CASE("sync: an unmet rule rolls back, and the connection works on") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(app.ask("PRAGMA tanist_ack_timeout='300ms'") == "300ms");
    cluster.stop_replica();
    CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_IOERR);
    CHECK(sqlite3_extended_errcode(app.db()) == (SQLITE_IOERR | 84 << 8));
    CHECK(sqlite3_get_autocommit(app.db()) == 1);
    CHECK(app.ask("SELECT count(*) FROM t") == "0");
    CHECK(app.ask("PRAGMA tanist_status").find("rolled back here") != std::string::npos);
    cluster.go_on_replica();
    REQUIRE(eventually([&] { return app.run("INSERT INTO t VALUES(2)") == SQLITE_OK; }));
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "2"));
    CHECK(app.ask("PRAGMA integrity_check") == "ok");
}

// Or a power cut could keep the commit and take its ABORT.
TEST_CASE("sync: a refusal is told when its ABORT is on the disk") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(app.ask("PRAGMA tanist_ack_timeout='100ms'") == "100ms");
    cluster.stop_replica();
    for (int i = 0; i < 5; ++i) {
        CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_IOERR);
        CHECK(cluster.is_settled_on_disk());
    }
}

TEST_CASE("sync: what was refused never comes back, not through a recovery either") {
    SyncCluster cluster;
    {
        App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
        REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
        REQUIRE(app.ask("PRAGMA tanist_ack_timeout='300ms'") == "300ms");
        cluster.stop_replica();
        CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_IOERR);
        cluster.kill_engine();
    }
    // Nobody has it open: the next one recovers the WAL from its bytes alone.
    CHECK(cluster.stock("SELECT count(*) FROM t") == "0");
    cluster.go_on_replica();
    App again(cluster.uri("&ack=durable:1"));
    REQUIRE_MESSAGE(again.run("INSERT INTO t VALUES(2)") == SQLITE_OK, cluster.why(again));
    CHECK(again.ask("SELECT group_concat(x) FROM t") == "2");
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "2"));
}

TEST_CASE("sync: a transaction that spilled and wrote its pages again is held back whole") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("PRAGMA cache_size=5; CREATE TABLE t(id INTEGER PRIMARY KEY, x)") == SQLITE_OK);
    const std::string many =
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400)"
        "INSERT INTO t SELECT i, randomblob(400) FROM n;"
        "UPDATE t SET x=randomblob(300) WHERE id%3=0; UPDATE t SET x='z' WHERE id<9;";
    REQUIRE(app.run("BEGIN; " + many + "COMMIT") == SQLITE_OK);
    CHECK(cluster.replica_answers("SELECT count(*) FROM t WHERE x='z'", "8"));
    CHECK(app.ask("PRAGMA tanist_ack_timeout='300ms'") == "300ms");
    cluster.stop_replica();
    CHECK(app.run("BEGIN; DELETE FROM t WHERE id>9; UPDATE t SET x=randomblob(900);"
                  "UPDATE t SET x='y'; COMMIT") == SQLITE_IOERR);
    CHECK(app.ask("SELECT count(*) FROM t WHERE x='z'") == "8");
    cluster.go_on_replica();
    CHECK(eventually([&] { return app.run("UPDATE t SET x='w' WHERE id=1") == SQLITE_OK; }));
    CHECK(cluster.replica_answers("SELECT count(*) FROM t WHERE x='z'", "7"));
    CHECK(app.ask("PRAGMA integrity_check") == "ok");
}

TEST_CASE("sync: a writer killed while it waits leaves nobody stuck, and nothing behind") {
    SyncCluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers("SELECT count(*) FROM t", "0"));
    cluster.stop_replica();
    Child writer = cluster.writer("&ack=durable:1&ack_timeout=1min", "INSERT INTO t VALUES(1)");
    REQUIRE(cluster.posted());
    writer.kill();
    CHECK(app.run("INSERT INTO t VALUES(2)") == SQLITE_OK);
    cluster.go_on_replica();
    CHECK(app.ask("SELECT group_concat(x) FROM t") == "2");
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "2"));
    CHECK(eventually([&] { return cluster.settled(); }));
}

TEST_CASE("sync: a writer killed while it waits is settled although nobody writes again") {
    SyncCluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    cluster.stop_replica();
    Child writer = cluster.writer("&ack=durable:1&ack_timeout=1min", "INSERT INTO t VALUES(1)");
    REQUIRE(cluster.posted());
    writer.kill();
    CHECK(eventually([&] { return cluster.settled(); }));
    cluster.go_on_replica();
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "0"));
    CHECK(cluster.replica_is_at(app.ask("PRAGMA tanist_position")));
}

TEST_CASE("sync: an engine killed while a commit waits is replaced, and the commit confirmed") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    const std::string gaps = cluster.rebases();
    cluster.stop_replica();
    int rc = -1;
    std::thread committer([&] { rc = app.run("INSERT INTO t VALUES(1)"); });
    REQUIRE(cluster.logged());
    cluster.kill_engine();
    cluster.go_on_replica();
    committer.join();
    CHECK(rc == SQLITE_OK);
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "1"));
    CHECK(cluster.rebases() == gaps);
}

TEST_CASE("sync: an engine that does not answer makes the commit fail in time, not hang") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=500ms"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    cluster.signal_engine(SIGSTOP);
    CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_IOERR);
    cluster.signal_engine(SIGCONT);
    REQUIRE(eventually([&] { return app.run("INSERT INTO t VALUES(2)") == SQLITE_OK; }));
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "2"));
}

TEST_CASE("sync: a replica killed in mid-commit and started again confirms it") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    cluster.stop_replica();
    int rc = -1;
    std::thread committer([&] { rc = app.run("INSERT INTO t VALUES(1)"); });
    REQUIRE(cluster.logged());
    cluster.kill_replica();
    cluster.start_replica();
    committer.join();
    CHECK(rc == SQLITE_OK);
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "1"));
}

TEST_CASE("sync: a replica that acknowledged and died has what it acknowledged") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    const int before = cluster.commits_in_replica_log();
    for (int i = 0; i < 10; ++i) {
        REQUIRE_MESSAGE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK, cluster.why(app));
        cluster.kill_replica();
        CHECK(cluster.commits_in_replica_log() == before + i + 1);
        cluster.start_replica();
    }
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "10"));
}

// It counts as one of the two: what it acknowledged is on its disk.
TEST_CASE("sync: one replica dies after its acknowledgement, before the other's") {
    SyncCluster cluster(true);
    App app(cluster.uri("&ack=durable:2&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    cluster.stop_second();
    int rc = -1;
    std::thread committer([&] { rc = app.run("INSERT INTO t VALUES(1)"); });
    REQUIRE(cluster.logged());
    CHECK(cluster.acknowledged_by_one());
    cluster.kill_replica();
    CHECK(cluster.is_posted());
    cluster.go_on_second();
    committer.join();
    CHECK(rc == SQLITE_OK);
    cluster.start_replica();
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "1"));
}

TEST_CASE("sync: received:1 is met by a replica, and not without one") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=received:1&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    const std::string position = app.ask("PRAGMA tanist_position");
    const Lsn end{std::stoull(position.substr(position.find(':') + 1))};
    CHECK(cluster.control().acks().point[0].received >= end);
    CHECK(app.ask("PRAGMA tanist_ack_timeout='300ms'") == "300ms");
    cluster.stop_replica();
    CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_IOERR);
    cluster.go_on_replica();
    REQUIRE(eventually([&] { return app.run("INSERT INTO t VALUES(2)") == SQLITE_OK; }));
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "2"));
}

// The replica holds the prepared record at its log's end, and must not show it.
TEST_CASE("sync: a replica restarted with a held-back commit shows it only when it is committed") {
    SyncCluster cluster(true);
    App app(cluster.uri("&ack=durable:2&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    const int before = cluster.commits_in_replica_log();
    cluster.stop_second();
    int rc = -1;
    std::thread committer([&] { rc = app.run("INSERT INTO t VALUES(1)"); });
    REQUIRE(eventually([&] { return cluster.commits_in_replica_log() == before + 1; }));
    cluster.kill_replica();
    cluster.start_replica();
    CHECK(cluster.replica_is_connected());
    CHECK(cluster.on_replica("SELECT count(*) FROM t") == "0");
    cluster.go_on_second();
    committer.join();
    CHECK(rc == SQLITE_OK);
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "1"));
}

// With synchronous=NORMAL SQLite syncs no commit, so a power cut takes the last ones; which frames
// are gone is played here by cutting the WAL.
void commit_five_and_lose_power(SyncCluster& cluster) {
    {
        App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
        REQUIRE(app.run("PRAGMA synchronous=NORMAL; CREATE TABLE t(x)") == SQLITE_OK);
        for (int i = 1; i <= 5; ++i) {
            REQUIRE(app.run("INSERT INTO t VALUES(" + std::to_string(i) + ")") == SQLITE_OK);
        }
        REQUIRE(cluster.replica_answers("SELECT count(*) FROM t", "5"));
        cluster.kill_engine();
    }
    cluster.lose_power(2);
}

TEST_CASE("sync: after a power cut the primary has again what was confirmed") {
    SyncCluster cluster;
    commit_five_and_lose_power(cluster);
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("INSERT INTO t VALUES(6)") == SQLITE_OK, cluster.why(app));
    CHECK(app.ask("SELECT group_concat(x) FROM t") == "1,2,3,4,5,6");
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "1,2,3,4,5,6"));
    CHECK(cluster.rebases() == "0");
    CHECK(app.ask("PRAGMA integrity_check") == "ok");
}

// Its log's tail may be gone, and what comes now must not be taken for that.
TEST_CASE("sync: a new boot begins a new epoch, in the log and for the application") {
    SyncCluster cluster;
    commit_five_and_lose_power(cluster);
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("INSERT INTO t VALUES(6)") == SQLITE_OK, cluster.why(app));
    CHECK(app.ask("PRAGMA tanist_position").starts_with("2:"));
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "6"));
    CHECK(cluster.status_of("replica.db").find("\"epoch\":2") != std::string::npos);
}

// Whoever closes the database last writes the WAL back and removes it, and with it the proof of
// where the database stood; and he may have written before.
TEST_CASE("sync: after a power cut, what cannot be found in the log is not taken for the truth") {
    SyncCluster cluster;
    commit_five_and_lose_power(cluster);
    CHECK(cluster.stock("SELECT count(*) FROM t") == "3");
    cluster.stock("INSERT INTO t VALUES(99) RETURNING x");
    CHECK(cluster.stock("SELECT group_concat(x) FROM t") == "1,2,3,99");
    {
        App app(cluster.uri("&ack=durable:1"));
        sqlite3_busy_timeout(app.db(), 0);
        CHECK(app.run("INSERT INTO t VALUES(6)") == SQLITE_BUSY);
        const std::string said = app.ask("PRAGMA tanist_status") + cluster.engine_log();
        CHECK_MESSAGE(said.find("app.db-tanist/waited") != std::string::npos, said);
    }
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "5"));
    std::filesystem::remove(cluster.path("app.db-tanist/waited"));
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    CHECK(eventually([&] { return app.run("INSERT INTO t VALUES(6)") == SQLITE_OK; }));
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "1,2,3,99,6"));
}

// After a power cut nothing else says where the database stands in its log.
TEST_CASE("sync: a checkpoint truncates the WAL only behind a durable log") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE(app.run("PRAGMA synchronous=FULL; CREATE TABLE t(x)") == SQLITE_OK);
    const auto control = Control::open(Layout(cluster.primary()).control(), false, false);
    REQUIRE(control.ok());
    for (int i = 0; i < 20; ++i) {
        // The first of each WAL is synced anyway.
        for (int k = 0; k < 5; ++k) REQUIRE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
        if (app.ask("PRAGMA wal_checkpoint(TRUNCATE)") != "0") continue;
        CHECK((*control)->durable_lsn.load() >= control->captured().position.lsn.value);
    }
}
