// The extension in a stock SQLite of this process, without an engine: TANIST_DAEMON names nothing.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <string>

#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

void load_once() {
    ::setenv("TANIST_DAEMON", "/nonexistent/tanistd", 1);
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(":memory:", &db) == SQLITE_OK);
    sqlite3_enable_load_extension(db, 1);
    REQUIRE(sqlite3_load_extension(db, TANIST_BUILD_DIR "/tanist.so", nullptr, nullptr) ==
            SQLITE_OK);
    sqlite3_close(db);
}

struct Connection {
    explicit Connection(const std::string& path, const std::string& more) {
        load_once();
        const std::string uri = "file:" + path + "?vfs=tanist" + more;
        opened =
            sqlite3_open_v2(uri.c_str(), &db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, nullptr);
    }
    ~Connection() { sqlite3_close(db); }
    int run(const std::string& sql) {
        return sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
    }
    sqlite3* db = nullptr;
    int opened = 0;
};
const std::string kReplicas = "&ship=daemon&replicas=tcp://127.0.0.1:1";

}  // namespace

TEST_CASE("extension: a database that is not replicated is left alone") {
    TempDir dir;
    Connection app(dir.path("plain.db"), "");
    CHECK(app.run("PRAGMA journal_mode=DELETE; CREATE TABLE t(x)") == SQLITE_OK);
    CHECK(!path_exists(dir.path("plain.db-tanist")));
}

TEST_CASE("extension: replicas= sets the database up and writes go on without an engine") {
    TempDir dir;
    Connection app(dir.path("app.db"), kReplicas);
    REQUIRE(app.opened == SQLITE_OK);
    CHECK(app.run("CREATE TABLE t(x); INSERT INTO t VALUES(1)") == SQLITE_OK);
    CHECK(path_exists(Layout(dir.path("app.db")).node()));
}

TEST_CASE("extension: what would hide commits is refused") {
    TempDir dir;
    Connection app(dir.path("app.db"), kReplicas);
    CHECK(app.run("PRAGMA locking_mode=EXCLUSIVE") == SQLITE_ERROR);
    CHECK(app.run("PRAGMA journal_mode=DELETE") == SQLITE_ERROR);
}

TEST_CASE("extension: a node that is no primary refuses writes and reads on") {
    TempDir dir;
    Connection app(dir.path("app.db"), kReplicas);
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    auto control = Control::open(Layout(dir.path("app.db")).control(), false, false);
    REQUIRE(control.ok());
    (*control)->role = static_cast<uint32_t>(Role::fenced);
    CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_READONLY);
    CHECK(app.run("SELECT * FROM t") == SQLITE_OK);
}

TEST_CASE("extension: a commit rings a sleeping engine") {
    TempDir dir;
    Connection app(dir.path("app.db"), kReplicas);
    auto control = Control::open(Layout(dir.path("app.db")).control(), false, false);
    REQUIRE(control.ok());
    (*control)->bell_mode = static_cast<uint32_t>(BellMode::asleep);
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    CHECK((*control)->bell.load() == 1);
}

TEST_CASE("extension: without an engine the WAL is neither restarted nor deleted") {
    TempDir dir;
    {
        Connection app(dir.path("app.db"), kReplicas);
        REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
        app.run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    auto wal = stat_path(dir.path("app.db-wal"));
    REQUIRE(wal.ok());
    CHECK(wal->bytes > 4096);
}
