// What a connection may ask of its commits, and what happens when it cannot have it: PRAGMAs,
// pipelined commits, degrading, waiting, the brake on lag, reading one's own writes.
#include <signal.h>
#include <sqlite3.h>

#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/sync_cluster.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

bool says(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

int extended(App& app) { return sqlite3_extended_errcode(app.db()); }

}  // namespace

TEST_CASE("policy: each setting is read without an argument and keeps what it was given") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=250ms&on_timeout=degrade"));
    CHECK(app.ask("PRAGMA tanist_ack") == "durable:1");
    CHECK(app.ask("PRAGMA tanist_commit_mode") == "before_visible");
    CHECK(app.ask("PRAGMA tanist_ack_timeout") == "250ms");
    CHECK(app.ask("PRAGMA tanist_on_timeout") == "degrade");
    CHECK(app.ask("PRAGMA tanist_commit_mode='pipelined'") == "pipelined");
    CHECK(app.ask("PRAGMA tanist_ack='received:1'") == "received:1");
    CHECK(app.ask("SELECT tanist_ack() || ' ' || tanist_commit_mode()") == "received:1 pipelined");
    CHECK(app.ask("SELECT tanist_on_timeout('wait')") == "wait");
    CHECK(app.ask("PRAGMA tanist_on_timeout") == "wait");
}

TEST_CASE("policy: nonsense is refused with the list of what is allowed, and changes nothing") {
    SyncCluster cluster;
    App app(cluster.uri());
    CHECK(says(app.ask("PRAGMA tanist_ack='sometimes'"), "durable:majority"));
    CHECK(says(app.ask("PRAGMA tanist_commit_mode='fast'"), "before_visible, pipelined"));
    CHECK(says(app.ask("PRAGMA tanist_on_timeout='panic'"), "fail, degrade, wait"));
    CHECK(says(app.ask("PRAGMA tanist_ack_timeout='soon'"), "is not a duration"));
    CHECK(app.ask("PRAGMA tanist_ack") == "async");
    App wrong(cluster.uri("&ack=always"));
    CHECK(wrong.opened != SQLITE_OK);
    CHECK(says(wrong.sentence(), "durable:majority"));
}

TEST_CASE("policy: more replicas than there are is refused at once, with the remedy") {
    SyncCluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    CHECK(says(app.ask("PRAGMA tanist_ack='durable:2'"), "only 1 replica"));
    App fixed(cluster.uri("&ack=durable:2&ack_timeout=1d"));
    CHECK(fixed.run("INSERT INTO t VALUES(1)") == SQLITE_READONLY);
    CHECK(says(fixed.ask("PRAGMA tanist_status"), "tanist members add"));
    CHECK(fixed.ask("SELECT count(*) FROM t") == "0");
}

TEST_CASE("policy: a rule counts from the next transaction on, and for its connection only") {
    SyncCluster cluster;
    App waits(cluster.uri("&ack_timeout=300ms"));
    App other(cluster.uri());
    REQUIRE(waits.run("CREATE TABLE t(x)") == SQLITE_OK);
    cluster.stop_replica();
    REQUIRE(waits.run("BEGIN IMMEDIATE") == SQLITE_OK);
    CHECK(waits.ask("PRAGMA tanist_ack='durable:1'") == "durable:1");
    CHECK(waits.run("INSERT INTO t VALUES(1); COMMIT") == SQLITE_OK);
    CHECK(waits.run("INSERT INTO t VALUES(2)") == SQLITE_IOERR);
    CHECK(other.run("INSERT INTO t VALUES(3)") == SQLITE_OK);
    CHECK(other.ask("SELECT group_concat(x) FROM t") == "1,3");
    cluster.go_on_replica();
    CHECK(cluster.replica_answers("SELECT group_concat(x) FROM t", "1,3"));
}

TEST_CASE("policy: a pipelined commit that is not confirmed is said to be committed here") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&commit_mode=pipelined&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    REQUIRE(app.ask("PRAGMA tanist_ack_timeout='300ms'") == "300ms");
    cluster.stop_replica();
    CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_IOERR);
    CHECK(extended(app) == (SQLITE_IOERR | 85 << 8));
    CHECK(says(app.ask("PRAGMA tanist_status"), "committed here, not confirmed"));
    CHECK(app.ask("SELECT count(*) FROM t") == "1");
    cluster.go_on_replica();
    CHECK(eventually([&] { return app.run("INSERT INTO t VALUES(2)") == SQLITE_OK; }));
    CHECK(app.ask("PRAGMA integrity_check") == "ok");
}

TEST_CASE("policy: many pipelined writers are all confirmed, each with its own commit") {
    SyncCluster cluster;
    App first(cluster.uri());
    REQUIRE(first.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers("SELECT count(*) FROM t", "0"));
    std::vector<std::thread> writers;
    std::mutex mutex;
    std::vector<std::string> failures;
    for (int w = 0; w < 8; ++w) {
        writers.emplace_back([&, w] {
            App app(cluster.uri("&ack=durable:1&commit_mode=pipelined&ack_timeout=1min"));
            for (int i = 0; i < 25; ++i) {
                const std::string row = std::to_string(w * 100 + i);
                if (app.run("INSERT INTO t VALUES(" + row + ")") == SQLITE_OK) continue;
                const std::lock_guard lock(mutex);
                failures.push_back(std::to_string(extended(app)) + cluster.why(app));
            }
        });
    }
    for (std::thread& writer : writers) writer.join();
    CHECK_MESSAGE(failures.empty(), (failures.empty() ? "" : failures.front()));
    CHECK(cluster.commits_in_replica_log() >= 200);
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "200"));
}

// Readers elsewhere find it without waiting.
TEST_CASE("policy: applied:1 returns when the replica shows the commit") {
    SyncCluster cluster;
    for (const char* mode : {"before_visible", "pipelined"}) {
        App app(cluster.uri("&ack=applied:1&ack_timeout=1min&commit_mode=" + std::string(mode)));
        REQUIRE(app.run("CREATE TABLE IF NOT EXISTS t(x); DELETE FROM t") == SQLITE_OK);
        for (int i = 1; i <= 10; ++i) {
            REQUIRE_MESSAGE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK, cluster.why(app));
            CHECK(cluster.on_replica("SELECT count(*) FROM t") == std::to_string(i));
        }
    }
}

TEST_CASE("policy: degrading is visible, counts the commits, and ends when the replica is back") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min&on_timeout=degrade"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(app.ask("PRAGMA tanist_ack_timeout='200ms'") == "200ms");
    cluster.stop_replica();
    for (int i = 0; i < 3; ++i) CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
    const std::string status = app.ask("PRAGMA tanist_status");
    CHECK(says(status, "\"degraded\":\"durable:1\",\"degradations\":1,\"unconfirmed\":3"));
    CHECK(app.ask("SELECT count(*) FROM t") == "3");
    cluster.go_on_replica();
    CHECK(eventually([&] { return says(app.ask("PRAGMA tanist_status"), "\"degraded\":null"); }));
    CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
    CHECK(says(app.ask("PRAGMA tanist_status"), "\"unconfirmed\":3"));
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "4"));
}

TEST_CASE("policy: degrading works pipelined, too") {
    SyncCluster cluster;
    App app(
        cluster.uri("&ack=durable:1&ack_timeout=1min&on_timeout=degrade"
                    "&commit_mode=pipelined"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(app.ask("PRAGMA tanist_ack_timeout='200ms'") == "200ms");
    cluster.stop_replica();
    for (int i = 0; i < 3; ++i) CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
    CHECK(says(app.ask("PRAGMA tanist_status"), "\"unconfirmed\":3"));
    cluster.go_on_replica();
    CHECK(eventually([&] { return says(app.ask("PRAGMA tanist_status"), "\"degraded\":null"); }));
}

TEST_CASE("policy: whoever waits for ever goes on when the replica is back") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=50ms&on_timeout=wait"));
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    cluster.stop_replica();
    int rc = -1;
    std::thread committer([&] { rc = app.run("INSERT INTO t VALUES(1)"); });
    REQUIRE(cluster.posted());
    // Longer than its timeout, so that this is not what ends it.
    CHECK_FALSE(eventually_within(300ms, [&] { return !cluster.is_posted(); }));
    cluster.go_on_replica();
    committer.join();
    CHECK(rc == SQLITE_OK);
}

TEST_CASE("policy: writers are told to wait when too much is on this node alone") {
    SyncCluster cluster;
    App app(cluster.uri("&max_lag=3%20commits"));
    sqlite3_busy_timeout(app.db(), 0);
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers("SELECT count(*) FROM t", "0"));
    cluster.stop_replica();
    int written = 0;
    while (written < 100 && app.run("INSERT INTO t VALUES(1)") == SQLITE_OK) ++written;
    CHECK(written < 100);
    CHECK(sqlite3_errcode(app.db()) == SQLITE_BUSY);
    CHECK(says(app.ask("PRAGMA tanist_status"), "max_lag"));
    cluster.go_on_replica();
    CHECK(eventually([&] { return app.run("INSERT INTO t VALUES(1)") == SQLITE_OK; }));
}

TEST_CASE("policy: a reader on the replica waits for what it wrote on the primary") {
    SyncCluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers("SELECT count(*) FROM t", "0"));
    App reader("file:" + cluster.path("replica.db") + "?vfs=tanist&ack_timeout=1min");
    for (int i = 1; i <= 20; ++i) {
        REQUIRE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
        const std::string position = app.ask("PRAGMA tanist_position");
        CHECK(reader.ask("PRAGMA tanist_wait='" + position + "'") == position);
        CHECK(reader.ask("SELECT count(*) FROM t") == std::to_string(i));
    }
    CHECK(reader.ask("PRAGMA tanist_ack_timeout='100ms'") == "100ms");
    CHECK(says(reader.ask("PRAGMA tanist_wait='1:999999'"), "was not reached within 100ms"));
    CHECK(says(reader.ask("PRAGMA tanist_wait='soon'"), "EPOCH:LSN"));
}
