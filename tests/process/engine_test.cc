// The extension with the real engine and a real replica.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include "replicator/wal/wal_index.h"
#include "tests/support/cluster.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

constexpr const char* kCount = "SELECT count(*) FROM t";

void insert(App& app, int rows) {
    for (int i = 0; i < rows; ++i) REQUIRE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
}

uint64_t lsn_of(const std::string& position) {
    const size_t colon = position.find(':');
    REQUIRE_MESSAGE(colon != std::string::npos, position);
    return std::stoull(position.substr(colon + 1));
}

uint64_t rebases(const Cluster& cluster) {
    auto control = Control::open(Layout(cluster.primary()).control(), false, false);
    REQUIRE(control.ok());
    return (*control)->rebases.load();
}

int threads_here() {
    int count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/task")) {
        ++count;
    }
    return count;
}

int sockets_here() {
    int count = 0;
    for (int fd = 0; fd < 1024; ++fd) {
        struct stat facts {};
        if (::fstat(fd, &facts) == 0 && S_ISSOCK(facts.st_mode)) ++count;
    }
    return count;
}

// The engine is dead, and its lock is held on.
struct LastingLock {
    std::string path;
    File lock;
    explicit LastingLock(const Cluster& cluster) : path(Layout(cluster.primary()).ship_lock()) {
        cluster.kill_engine();
        auto opened = File::open(path, File::Mode::write);
        REQUIRE(opened.ok());
        lock = std::move(*opened);
        REQUIRE(*lock.try_lock(true));
    }
};

// In a child of its own, as another process of the application. 0: every statement worked.
pid_t fork_writer(const std::string& uri, int rows) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    sqlite3* db = nullptr;
    int rc = sqlite3_open_v2(uri.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, nullptr);
    sqlite3_busy_timeout(db, 30'000);
    for (int i = 0; i < rows && rc == SQLITE_OK; ++i) {
        rc = sqlite3_exec(db, "INSERT INTO t VALUES(1)", nullptr, nullptr, nullptr);
    }
    ::_exit(rc == SQLITE_OK ? 0 : 1);
}

// It holds no lock then but its pin.
bool engine_sleeps(const Cluster& cluster) {
    auto control = Control::open(Layout(cluster.primary()).control(), false, false);
    return control.ok() && eventually([&] {
               return (*control)->bell_mode.load() == static_cast<uint32_t>(BellMode::asleep);
           });
}

// For a mark of iChange it needs a moment without readers.
bool engine_marks(const Cluster& cluster) {
    auto control = Control::open(Layout(cluster.primary()).control(), false, false);
    return control.ok() && eventually([&] { return is_marked(control->captured().change); });
}

// A child that has restarted the WAL and is in its first transaction, of which frames are written;
// the engine is stopped since before that. 0: it did not get there.
pid_t fork_into_first_commit(const Cluster& cluster) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return 0;
    const auto say = [](int fd) { return ::write(fd, "x", 1) == 1; };
    const auto hear = [](int fd) {
        char word = 0;
        return ::read(fd, &word, 1) == 1;
    };
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::close(ends[0]);
        App app(cluster.uri());
        while (app.ask("PRAGMA wal_checkpoint(RESTART)") != "0") ::usleep(1000);
        const bool told = say(ends[1]) && hear(ends[1]);
        const int rc = app.run(
            "PRAGMA cache_size=5; BEGIN;"
            "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<2000)"
            "INSERT INTO t SELECT randomblob(400) FROM n");
        if (told && rc == SQLITE_OK) say(ends[1]);
        ::close(ends[1]);
        for (;;) ::pause();
    }
    ::close(ends[1]);
    bool there = hear(ends[0]) && engine_sleeps(cluster);
    cluster.signal_engine(SIGSTOP);
    there = there && say(ends[0]) && hear(ends[0]);
    ::close(ends[0]);
    return there ? pid : 0;
}

bool ended_well(pid_t pid) {
    int state = 0;
    return ::waitpid(pid, &state, 0) == pid && WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

}  // namespace

TEST_CASE("engine: a commit appears on the replica") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x); INSERT INTO t VALUES(1)") == SQLITE_OK,
                    app.sentence());
    CHECK(cluster.replica_answers(kCount, "1"));
}

TEST_CASE("engine: one killed while a process writes is replaced, nothing lost or repeated") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    insert(app, 50);
    const uint64_t before = lsn_of(app.ask("PRAGMA tanist_position"));
    const uint64_t gaps = rebases(cluster);
    cluster.kill_engine();
    insert(app, 50);
    CHECK(lsn_of(app.ask("PRAGMA tanist_position")) == before + 50);
    CHECK(cluster.replica_answers(kCount, "100"));
    CHECK(rebases(cluster) == gaps);
}

TEST_CASE("engine: one killed is replaced by a short-lived process, which only opens and commits") {
    Cluster cluster;
    cluster.shell("CREATE TABLE t(x)");
    REQUIRE(cluster.replica_answers(kCount, "0"));
    cluster.kill_engine();
    cluster.shell("INSERT INTO t VALUES(1)");
    CHECK(cluster.replica_answers(kCount, "1"));
}

// A killed engine keeps its lock while one of its threads is inside an fsync, and nobody comes
// after an application's last commit.
TEST_CASE("engine: a last commit beside one that is dying leaves one in line for its lock") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers(kCount, "0"));
    LastingLock dying(cluster);
    insert(app, 1);
    CHECK(engine_is_in_line(dying.path));
    dying.lock.close();
    CHECK(cluster.replica_answers(kCount, "1"));
}

TEST_CASE("engine: what one that drains did not see is left to one in line for its lock") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers(kCount, "0"));
    LastingLock draining(cluster);
    auto control = Control::open(Layout(cluster.primary()).control(), false, false);
    REQUIRE(control.ok());
    (*control)->engine_life.store(0);
    (*control)->engine_state.store(static_cast<uint32_t>(EngineState::draining));
    insert(app, 1);
    CHECK(engine_is_in_line(draining.path));
    draining.lock.close();
    CHECK(cluster.replica_answers(kCount, "1"));
}

// A recovery makes iChange begin anew, so the salts alone can tell what the new WAL follows.
TEST_CASE("engine: a first commit of a new WAL, cut short with everybody else, makes no gap") {
    Cluster cluster;
    cluster.shell("CREATE TABLE t(x)");
    REQUIRE(engine_marks(cluster));
    const pid_t writer = fork_into_first_commit(cluster);
    REQUIRE(writer > 0);
    const uint64_t gaps = rebases(cluster);
    ::kill(writer, SIGKILL);
    ::waitpid(writer, nullptr, 0);
    cluster.kill_engine();
    cluster.shell("INSERT INTO t VALUES(1)");
    CHECK(cluster.replica_answers(kCount, "1"));
    CHECK(rebases(cluster) == gaps);
}

TEST_CASE("engine: tanist_position starts one when none lives, and waits for it") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    const uint64_t before = lsn_of(app.ask("PRAGMA tanist_position"));
    cluster.kill_engine();
    CHECK(cluster.shell("INSERT INTO t VALUES(1); PRAGMA tanist_position")
              .find(":" + std::to_string(before + 1)) != std::string::npos);
}

TEST_CASE("engine: tanist_replicas has a row for each replica, with where it is") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    insert(app, 3);
    REQUIRE(cluster.replica_answers(kCount, "3"));
    const std::string lsn = std::to_string(lsn_of(app.ask("PRAGMA tanist_position")));
    const std::string wanted = "1 " + cluster.endpoint() + " streaming " + lsn + " " + lsn + " 0 0";
    const auto rows = [&] {
        return app.ask(
            "SELECT count(*)||' '||endpoint||' '||state||' '||received||' '||applied||' '||"
            "lag_transactions||' '||lag_bytes FROM tanist_replicas");
    };
    CHECK_MESSAGE(eventually([&] { return rows() == wanted; }), rows());
}

TEST_CASE("engine: status does not show a dead engine's view as live") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers(kCount, "0"));
    cluster.kill_engine();
    const std::string status = app.ask("PRAGMA tanist_status");
    CHECK(status.find("\"alive\":false") != std::string::npos);
    CHECK(status.find("\"state\":\"unknown\"") != std::string::npos);
    CHECK(status.find("\"data_at_risk\":null") != std::string::npos);
    CHECK(status.find("the engine does not run") != std::string::npos);
}

TEST_CASE("engine: a stopped one harms no commit and catches up when it goes on") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("PRAGMA synchronous=NORMAL; CREATE TABLE t(x)") == SQLITE_OK);
    const uint64_t before = lsn_of(app.ask("PRAGMA tanist_position"));
    const uint64_t gaps = rebases(cluster);
    cluster.signal_engine(SIGSTOP);
    insert(app, 3000);
    cluster.signal_engine(SIGCONT);
    CHECK(cluster.replica_answers(kCount, "3000"));
    CHECK(lsn_of(app.ask("PRAGMA tanist_position")) == before + 3000);
    CHECK(rebases(cluster) == gaps);
}

TEST_CASE("engine: the WAL stays bounded under a steady writer") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("PRAGMA synchronous=NORMAL; CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers(kCount, "0"));
    const uint64_t gaps = rebases(cluster);
    insert(app, 20'000);
    const auto wal = stat_path(cluster.primary() + "-wal");
    REQUIRE(wal.ok());
    // It begins anew at 4,000 frames, once capture and writing back have come to its end: what is
    // written meanwhile depends on the machine. Without a bound there are more than 20,000.
    CHECK(wal->bytes < 12'000 * 4120);
    CHECK(cluster.replica_answers(kCount, "20000"));
    CHECK(rebases(cluster) == gaps);
}

TEST_CASE("engine: the WAL begins anew while its only writer goes on") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("PRAGMA synchronous=NORMAL; CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers(kCount, "0"));
    auto control = Control::open(Layout(cluster.primary()).control(), false, false);
    REQUIRE(control.ok());
    const uint32_t salt = control->captured().salt1;
    int64_t count = 0;
    // When it begins anew is for the engine and the writer to agree on.
    CHECK(eventually([&] {
        insert(app, 1000);
        count += 1000;
        return control->captured().salt1 != salt;
    }));
    CHECK(cluster.replica_answers(kCount, std::to_string(count)));
}

TEST_CASE("engine: a lone writer without a busy timeout never meets SQLITE_BUSY") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("PRAGMA synchronous=NORMAL; CREATE TABLE t(x)") == SQLITE_OK);
    sqlite3_busy_timeout(app.db(), 0);
    insert(app, 10'000);
    CHECK(cluster.replica_answers(kCount, "10000"));
}

TEST_CASE("engine: a child of fork that opens anew commits, and its parent goes on") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    const pid_t child = fork_writer(cluster.uri(), 20);
    insert(app, 20);
    CHECK(ended_well(child));
    CHECK(cluster.replica_answers(kCount, "40"));
}

TEST_CASE("engine: four threads and three processes write at once") {
    Cluster cluster;
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    const uint64_t before = lsn_of(app.ask("PRAGMA tanist_position"));
    std::vector<pid_t> children;
    for (int i = 0; i < 3; ++i) children.push_back(fork_writer(cluster.uri(), 50));
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            App mine(cluster.uri());
            for (int row = 0; row < 50; ++row) {
                if (mine.run("INSERT INTO t VALUES(1)") != SQLITE_OK) ++failures;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const pid_t child : children) CHECK(ended_well(child));
    CHECK(failures == 0);
    CHECK(cluster.replica_answers(kCount, "350"));
    CHECK(lsn_of(app.ask("PRAGMA tanist_position")) == before + 350);
}

TEST_CASE("engine: the last close and a new open leave no gap") {
    Cluster cluster;
    cluster.shell("CREATE TABLE t(x); PRAGMA tanist_position");
    const uint64_t gaps = rebases(cluster);
    for (int i = 0; i < 5; ++i) {
        App app(cluster.uri());
        REQUIRE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
        app.run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    CHECK(cluster.replica_answers(kCount, "5"));
    CHECK(rebases(cluster) == gaps);
}

// It would hold WRITE, which the engine needs before it can let the WAL begin anew, until the busy
// timeout of the application.
TEST_CASE(
    "engine: a checkpoint that empties the WAL is not in the way of the engine it waits for") {
    Cluster cluster;
    cluster.shell("CREATE TABLE t(x)");
    for (int i = 0; i < 5; ++i) {
        App app(cluster.uri());
        REQUIRE(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK);
        CHECK(app.ask("PRAGMA wal_checkpoint(TRUNCATE)") == "0");  // not busy
    }
}

TEST_CASE("engine: with ship=auto the application gets no thread and no socket") {
    Cluster cluster;
    const int threads = threads_here();
    const int sockets = sockets_here();
    App app(cluster.uri());
    REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    REQUIRE(cluster.replica_answers(kCount, "0"));
    CHECK(threads_here() == threads);
    CHECK(sockets_here() == sockets);
}

TEST_CASE("engine: a replicated database can be attached and written") {
    Cluster cluster;
    {
        App app(cluster.uri());
        REQUIRE(app.run("CREATE TABLE t(x)") == SQLITE_OK);
    }
    App app("file:" + cluster.path("main.db"));
    REQUIRE(app.run("ATTACH '" + cluster.uri() + "' AS r") == SQLITE_OK);
    CHECK(app.run("INSERT INTO r.t VALUES(1)") == SQLITE_OK);
    CHECK(cluster.replica_answers(kCount, "1"));
}

// An engine would capture these commits without the extension, too; only a connection through the
// VFS knows the PRAGMA.
TEST_CASE("engine: TANIST_DEFAULT_VFS=1 and LD_PRELOAD need no vfs= in the program") {
    Cluster cluster;
    cluster.shell("CREATE TABLE t(x)");
    const std::string preload = "LD_PRELOAD=" TANIST_BUILD_DIR "/tanist.so";
    const std::string insert = "INSERT INTO t VALUES(1); PRAGMA tanist_role";
    CHECK(output_of({"env", preload, "sqlite3", cluster.primary(), insert}) == "primary\n");
    CHECK(output_of({"env", preload, "/usr/bin/python3", "-c",
                     "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); "
                     "c.execute('INSERT INTO t VALUES(2)'); c.commit(); "
                     "print(c.execute('PRAGMA tanist_role').fetchone()[0])",
                     cluster.primary()}) == "primary\n");
    CHECK(output_of({"env", "TANIST_DEFAULT_VFS=1", "sqlite3",
                     ":memory:", ".load " TANIST_BUILD_DIR "/tanist", ".open " + cluster.primary(),
                     insert}) == "primary\n");
    CHECK(output_of({"sqlite3", cluster.primary(), insert}) == "");
    CHECK(cluster.replica_answers(kCount, "4"));
}
