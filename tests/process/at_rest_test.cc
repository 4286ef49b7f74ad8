// A cluster whose logs are encrypted on the disk: what stands there, and what a lost key does.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "replicator/base/file.h"
#include "tests/support/daemons.h"
#include "tests/support/disk_limits.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

namespace fs = std::filesystem;

struct SealedPair : Pair {
    SealedPair() : Pair("CREATE TABLE t(x)") {
        for (const std::string& db : {primary, replica}) {
            std::ofstream(Layout(db).settings(), std::ios::app) << "\nencrypt_at_rest = true\n";
        }
        restart();
    }
    void restart() {
        CHECK(engine.stop() == 0);
        CHECK(replica_daemon.stop() == 0);
        start_replica(replica_daemon.endpoint());
        start_engine();
    }
    void insert(const std::string& text) {
        StockSqlite(primary).must("INSERT INTO t VALUES ('" + text + "')");
        REQUIRE(equal_soon());
    }
    // Whether any file of the node's log shows it.
    static bool log_shows(const std::string& db, const std::string& text) {
        for (const auto& file : fs::recursive_directory_iterator(Layout(db).log())) {
            if (!file.is_regular_file()) continue;
            if (file_text(file.path().string()).find(text) != std::string::npos) return true;
        }
        return false;
    }
    Outcome verify(const std::string& more = "") const {
        return shell(dir, kTanist + " log verify app.db " + more);
    }
};

// A replica whose first sync does not get to its end while its files may not grow beyond a bound.
struct SealedSync {
    TempDir dir;
    std::string primary = dir.path("app.db");
    std::string replica = dir.path("replica.db");
    Layout layout{replica};
    Daemon replica_daemon;
    Daemon engine;

    SealedSync() {
        StockSqlite(primary).must(
            "PRAGMA journal_mode=WAL; CREATE TABLE t(x);"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<8000)"
            "INSERT INTO t SELECT 'a secret sentence ' || hex(randomblob(1500)) FROM n");
        REQUIRE(shell(dir, kTanist + " init app.db").code == 0);
    }
    void start_replica(const std::string& listen = "tcp://127.0.0.1:*") {
        replica_daemon = Daemon(dir, {"--db", replica, "--listen", listen, "--encrypt-at-rest",
                                      "true", "--log-segment-bytes", "1MiB"});
        REQUIRE_MESSAGE(replica_daemon.ready(), replica_daemon.said());
    }
    void break_the_sync_off() {
        {
            const FileSizeLimit limit(8u << 20);
            start_replica();
        }
        engine = Daemon(dir, {"--db", primary, "--replicas", replica_daemon.endpoint()});
        REQUIRE_MESSAGE(engine.ready(), engine.said());
        REQUIRE(eventually(
            [&] { return shell(dir, kTanist + " status replica.db").says("delta sync failed"); }));
        REQUIRE(replica_daemon.stop() == 0);
        REQUIRE(fs::file_size(layout.base() + "/pages") > 1u << 20);
    }
    // Whether any file of the node shows it.
    bool anything_shows(const std::string& text) const {
        for (const auto& entry : fs::recursive_directory_iterator(layout.directory)) {
            if (!entry.is_regular_file()) continue;
            if (file_text(entry.path().string()).find(text) != std::string::npos) return true;
        }
        return false;
    }
    void goes_on_to_its_end() {
        start_replica(replica_daemon.endpoint());
        const std::string wanted = image_of(primary);
        CHECK(eventually([&] { return image_of(replica) == wanted; }));
        CHECK(eventually([&] { return !fs::exists(layout.base() + "/pages"); }));
    }
};

// A daemon inherits it.
struct OpenUmask {
    mode_t before = ::umask(0);
    ~OpenUmask() { ::umask(before); }
};

fs::perms mode_of(const fs::path& path) { return fs::status(path).permissions(); }

}  // namespace

TEST_CASE("at rest: the log of every node is its owner's alone, whatever the umask") {
    const OpenUmask open_umask;
    Pair pair("CREATE TABLE t(x)");
    StockSqlite(pair.primary).must("INSERT INTO t VALUES (1)");
    REQUIRE(pair.equal_soon());
    // The first sync is over when its log is the log.
    REQUIRE(eventually([&] { return !fs::exists(Layout(pair.replica).log() + "/next"); }));
    for (const std::string& db : {pair.primary, pair.replica}) {
        CHECK(mode_of(Layout(db).directory) == fs::perms::owner_all);
        CHECK(mode_of(Layout(db).log()) == fs::perms::owner_all);
        size_t segments = 0;
        for (const auto& file : fs::directory_iterator(Layout(db).log())) {
            CAPTURE(file.path().string());
            CHECK(mode_of(file) == (fs::perms::owner_read | fs::perms::owner_write));
            ++segments;
        }
        CHECK(segments > 0);
    }
}

TEST_CASE_FIXTURE(SealedSync,
                  "encrypt_at_rest: a sync that is broken off shows no page, and goes on") {
    break_the_sync_off();
    CHECK_FALSE(fs::exists(replica));
    CHECK_FALSE(anything_shows("secret"));
    CHECK_FALSE(anything_shows("SQLite format"));
    goes_on_to_its_end();
}

TEST_CASE_FIXTURE(SealedSync, "encrypt_at_rest: with another key a sync begins anew, and ends") {
    break_the_sync_off();
    fs::remove(layout.log_key());
    fs::remove_all(layout.log());
    goes_on_to_its_end();
}

TEST_CASE_FIXTURE(SealedPair, "encrypt_at_rest: nodes replicate, and their logs show no commit") {
    insert("a secret sentence");
    CHECK(!log_shows(primary, "secret"));
    CHECK(!log_shows(replica, "secret"));
    CHECK(verify().code == 0);
}

TEST_CASE_FIXTURE(SealedPair, "encrypt_at_rest: killed nodes find their logs again") {
    insert("before");
    engine.kill();
    replica_daemon.kill();
    StockSqlite(primary).must("INSERT INTO t VALUES ('between')");
    start_replica(replica_daemon.endpoint());
    start_engine();
    insert("after");
    CHECK(ask_replica("SELECT count(*) FROM t") == "3");
    CHECK(!log_shows(primary, "between"));
}

TEST_CASE_FIXTURE(SealedPair,
                  "encrypt_at_rest: without its key a node does not start, and says so") {
    insert("kept");
    REQUIRE(engine.stop() == 0);
    const std::string key = Layout(primary).log_key();
    fs::rename(key, key + ".away");
    const Outcome verified = verify();
    CHECK(verified.code == 3);
    CHECK(verified.says("encrypted with the key"));
    CHECK(verify("--key-file app.db-tanist/log.key.away").code == 0);
    engine = Daemon(dir, {"--db", primary, "--replicas", replica_daemon.endpoint()});
    CHECK(!engine.ready());
    CHECK(engine.says("encrypted with the key"));
    fs::rename(key + ".away", key);
    start_engine();
    insert("and goes on");
}

TEST_CASE_FIXTURE(SealedPair, "encrypt_at_rest: switched off, old records stay readable") {
    insert("first");
    std::string text = file_text(Layout(primary).settings());
    text.replace(text.rfind("= true"), 6, "= false");
    write_text(Layout(primary).settings(), text);
    restart();
    insert("in the open");
    CHECK(log_shows(primary, "in the open"));
    CHECK(verify().code == 0);
}
