// The extension in a stock SQLite of this process, without an engine: TANIST_DAEMON names nothing.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <string>

#include "replicator/base/bytes.h"
#include "replicator/base/clock.h"
#include "replicator/base/death_notice.h"
#include "replicator/base/file.h"
#include "replicator/capture/wal_pin.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/wal/sqlite_handle.h"
#include "tests/support/temp_dir.h"

#define SQLITE_CORE 1  // the type of the table, and no macros in the place of functions
#include <sqlite3ext.h>

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
    bool says(const std::string& words) const {
        return std::string(sqlite3_errmsg(db)).find(words) != std::string::npos;
    }
    sqlite3* db = nullptr;
    int opened = 0;
};
// One that is at work and does nothing: it holds no pin.
struct IdleEngine {
    Control control;
    File lock;
    DeathNotice life;
    explicit IdleEngine(const Layout& layout) {
        auto opened = Control::open(layout.control(), true, false);
        auto file = File::open(layout.ship_lock(), File::Mode::create);
        REQUIRE(opened.ok());
        REQUIRE(file.ok());
        control = std::move(*opened);
        lock = std::move(*file);
        REQUIRE(*lock.try_lock(true));
        life.post(control->engine_life);
        control->engine_state = static_cast<uint32_t>(EngineState::running);
    }
    void answer() const { control->engine_beat_ns = boot_now().ns; }
};

const std::string kReplicas = "&ship=daemon&replicas=tcp://127.0.0.1:1";

}  // namespace

// The table of functions that it was given is what a second copy of SQLite differs by.
TEST_CASE("extension: a second copy of SQLite in one process is refused") {
    load_once();
    static sqlite3_api_routines second;
    const auto copy = [](sqlite3*, char**, const sqlite3_api_routines* api) {
        second = *api;
        return SQLITE_OK;
    };
    using Entry = int (*)(sqlite3*, char**, const sqlite3_api_routines*);
    const Entry take_copy = copy;
    auto* const hook = reinterpret_cast<void (*)()>(take_copy);
    REQUIRE(sqlite3_auto_extension(hook) == SQLITE_OK);
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(":memory:", &db) == SQLITE_OK);
    sqlite3_cancel_auto_extension(hook);
    void* library = ::dlopen(TANIST_BUILD_DIR "/tanist.so", RTLD_NOW);
    REQUIRE(library != nullptr);
    const auto load = reinterpret_cast<Entry>(::dlsym(library, "sqlite3_tanist_init"));
    char* sentence = nullptr;
    CHECK(load(db, &sentence, &second) == SQLITE_MISUSE);
    REQUIRE(sentence != nullptr);
    CHECK(std::string(sentence).find("another copy of SQLite") != std::string::npos);
    sqlite3_free(sentence);
    sqlite3_close(db);
}

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

// As an engine does whose log has been full for long (capture/capture_tend.cc).
TEST_CASE("extension: a WAL that the engine has let go is bounded, though the engine answers") {
    TempDir dir;
    ::setenv("TANIST_WAL_BYTES_MAX", "1MiB", 1);
    Connection app(dir.path("app.db"), kReplicas);
    ::unsetenv("TANIST_WAL_BYTES_MAX");
    REQUIRE(app.run("PRAGMA synchronous=OFF; CREATE TABLE t(x)") == SQLITE_OK);
    const IdleEngine engine(Layout(dir.path("app.db")));
    for (int i = 0; i < 4000; ++i) {
        engine.answer();
        REQUIRE(app.run("INSERT INTO t VALUES(randomblob(3000))") == SQLITE_OK);
    }
    // Four times wal_bytes_max, and what SQLite adds between two of its checkpoints. All of it
    // takes 16 MiB.
    auto wal = stat_path(dir.path("app.db-wal"));
    REQUIRE(wal.ok());
    CHECK(wal->bytes < 10u << 20);
}

TEST_CASE("extension: a WAL that the engine pins is not begun anew, however long it is") {
    TempDir dir;
    ::setenv("TANIST_WAL_BYTES_MAX", "1MiB", 1);
    Connection app(dir.path("app.db"), kReplicas);
    ::unsetenv("TANIST_WAL_BYTES_MAX");
    REQUIRE(app.run("PRAGMA synchronous=OFF; CREATE TABLE t(x)") == SQLITE_OK);
    const IdleEngine engine(Layout(dir.path("app.db")));
    auto handle = SqliteHandle::open(linked_sqlite(), dir.path("app.db"), {});
    REQUIRE(handle.ok());
    WalPin pin(**handle);
    REQUIRE(pin.take().ok());
    const WalSalt salt = (*(*handle)->header())->salt;
    for (int i = 0; i < 2000; ++i) {
        engine.answer();
        REQUIRE(app.run("INSERT INTO t VALUES(randomblob(3000))") == SQLITE_OK);
    }
    CHECK((*(*handle)->header())->salt == salt);
    // It waited for the engine, and not for ever.
    CHECK(engine.control->held_up_commits > 0);
    CHECK(engine.control->held_up_commits < 1000);
}

TEST_CASE("extension: a wrong setting is told at the open, and nothing is made") {
    TempDir dir;
    Connection app(dir.path("app.db"), "&replicas=http://nowhere&ship=daemon");
    CHECK(app.opened != SQLITE_OK);
    CHECK_MESSAGE(app.says("http://nowhere"), sqlite3_errmsg(app.db));
    Connection other(dir.path("other.db"), "&replicas=tcp://127.0.0.1:1&ship=rocket");
    CHECK_MESSAGE(other.says("rocket"), sqlite3_errmsg(other.db));
    CHECK(!path_exists(dir.path("other.db")));
}

TEST_CASE("extension: nolock=1 is told at the open") {
    TempDir dir;
    Connection app(dir.path("app.db"), kReplicas + "&nolock=1");
    CHECK(app.opened != SQLITE_OK);
    CHECK_MESSAGE(app.says("nolock=1"), sqlite3_errmsg(app.db));
}

TEST_CASE("extension: a rollback journal that cannot be left is told at the open") {
    TempDir dir;
    Connection reader(dir.path("app.db"), "");
    REQUIRE(reader.run("CREATE TABLE t(x); BEGIN; SELECT * FROM t") == SQLITE_OK);
    REQUIRE(reader.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
    Connection app(dir.path("app.db"), kReplicas);
    CHECK(app.opened != SQLITE_OK);
    CHECK_MESSAGE(app.says("cannot be replicated"), sqlite3_errmsg(app.db));
}

TEST_CASE("extension: a directory that cannot be written is told at the open") {
    TempDir dir;
    // A file where the directory should be; unlike a mode, it stops root as well.
    REQUIRE(replace_file(dir.path("app.db-tanist"), {}).ok());
    Connection app(dir.path("app.db"), kReplicas);
    CHECK(app.opened != SQLITE_OK);
    CHECK_MESSAGE(app.says("app.db-tanist"), sqlite3_errmsg(app.db));
}

TEST_CASE("extension: what is no database is told at the open and left alone") {
    TempDir dir;
    const std::string text(8192, 'x');
    REQUIRE(replace_file(dir.path("app.db"), view_of(text)).ok());
    Connection app(dir.path("app.db"), kReplicas);
    CHECK(app.opened != SQLITE_OK);
    CHECK_MESSAGE(app.says("not a database"), sqlite3_errmsg(app.db));
}

TEST_CASE("extension: an attached database that is refused is not attached") {
    TempDir dir;
    Connection app(dir.path("main.db"), "");
    const std::string attach = "ATTACH 'file:" + dir.path("app.db") +
                               "?vfs=tanist&replicas=tcp://127.0.0.1:1&nolock=1' AS r";
    CHECK(app.run(attach) == SQLITE_CANTOPEN);
}
