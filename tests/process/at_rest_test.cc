// A cluster whose logs are encrypted on the disk: what stands there, and what a lost key does.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "replicator/base/file.h"
#include "tests/support/daemons.h"

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
        for (const auto& file : fs::directory_iterator(Layout(db).log())) {
            if (file_text(file.path().string()).find(text) != std::string::npos) return true;
        }
        return false;
    }
    Outcome verify(const std::string& more = "") const {
        return shell(dir, kTanist + " log verify app.db " + more);
    }
};

}  // namespace

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
