// When the WAL of an application in FULL is synced. The syncs of -wal files are counted, held up
// and made to fail by a VFS below the extension.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/sync_cluster.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

class WalSyncs {
  public:
    void hold() { set(held_, true); }
    void let_go() { set(held_, false); }
    void fail() { set(fails_, true); }
    void succeed() { set(fails_, false); }
    int done() {
        const std::lock_guard lock(mutex_);
        return done_;
    }
    bool is_waiting() {
        return eventually([&] {
            const std::lock_guard lock(mutex_);
            return waiting_ > 0;
        });
    }
    int pass(sqlite3_file* file, int flags, const sqlite3_io_methods* below) {
        {
            std::unique_lock lock(mutex_);
            ++waiting_;
            changed_.wait(lock, [&] { return !held_; });
            --waiting_;
            ++done_;
            if (fails_) return SQLITE_IOERR_FSYNC;
        }
        return below->xSync(file, flags);
    }

  private:
    void set(bool& what, bool value) {
        const std::lock_guard lock(mutex_);
        what = value;
        changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    bool held_ = false;
    bool fails_ = false;
    int waiting_ = 0;
    int done_ = 0;
};

WalSyncs wal_syncs;
sqlite3_vfs* below = nullptr;
sqlite3_vfs shown;
const sqlite3_io_methods* methods_below = nullptr;
sqlite3_io_methods wal_methods;

int open_file(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
    const int rc = below->xOpen(below, name, file, flags, out);
    if (rc != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0) return rc;
    methods_below = file->pMethods;
    wal_methods = *file->pMethods;
    wal_methods.xSync = [](sqlite3_file* wal, int how) {
        return wal_syncs.pass(wal, how, methods_below);
    };
    file->pMethods = &wal_methods;
    return rc;
}

// Before anything loads the extension, which stands on the default VFS of that moment.
const bool stands_below = [] {
    below = sqlite3_vfs_find(nullptr);
    shown = *below;
    shown.xOpen = open_file;
    return sqlite3_vfs_register(&shown, 1) == SQLITE_OK;
}();

constexpr const char* kWaits = "&ack=durable:1&ack_timeout=1min&commit_mode=pipelined";

}  // namespace

TEST_CASE("wal_sync: commits of one process that came during a sync share the next one") {
    REQUIRE(stands_below);
    SyncCluster cluster;
    App first(cluster.uri(kWaits));
    REQUIRE_MESSAGE(first.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(first));
    std::vector<std::unique_ptr<App>> others;
    for (int i = 0; i < 3; ++i) others.push_back(std::make_unique<App>(cluster.uri(kWaits)));
    const int before = wal_syncs.done();
    wal_syncs.hold();
    std::atomic<int> confirmed{0};
    const auto insert = [&](App& app) { confirmed += app.run("INSERT INTO t VALUES(1)") == 0; };
    std::vector<std::thread> threads;
    threads.emplace_back(insert, std::ref(first));
    REQUIRE(wal_syncs.is_waiting());
    for (auto& other : others) threads.emplace_back(insert, std::ref(*other));
    CHECK(eventually([&] { return cluster.stock("SELECT count(*) FROM t") == "4"; }));
    CHECK(confirmed == 0);
    wal_syncs.let_go();
    for (std::thread& thread : threads) thread.join();
    CHECK(confirmed == 4);
    CHECK(wal_syncs.done() - before <= 3);  // one of four connections may come between
}

TEST_CASE("wal_sync: with synchronous=NORMAL, too, a confirmed commit's WAL is synced") {
    SyncCluster cluster;
    App app(cluster.uri(kWaits));
    REQUIRE_MESSAGE(app.run("PRAGMA synchronous=NORMAL; CREATE TABLE t(x)") == SQLITE_OK,
                    cluster.why(app));
    wal_syncs.hold();
    std::atomic<int> rc{-1};
    std::thread committer([&] { rc = app.run("INSERT INTO t VALUES(1)"); });
    REQUIRE(wal_syncs.is_waiting());
    CHECK(cluster.stock("SELECT count(*) FROM t") == "1");
    CHECK(cluster.replica_answers("SELECT count(*) FROM t", "1"));
    CHECK(rc == -1);
    wal_syncs.let_go();
    committer.join();
    CHECK(rc == SQLITE_OK);
}

TEST_CASE("wal_sync: a commit that is held back is synced before anybody sees it") {
    SyncCluster cluster;
    App app(cluster.uri("&ack=durable:1&ack_timeout=1min"));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    wal_syncs.hold();
    std::thread committer([&] { CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_OK); });
    REQUIRE(wal_syncs.is_waiting());
    CHECK(cluster.stock("SELECT count(*) FROM t") == "0");
    wal_syncs.let_go();
    committer.join();
    CHECK(cluster.stock("SELECT count(*) FROM t") == "1");
}

TEST_CASE("wal_sync: a commit whose WAL cannot be synced is committed here and not confirmed") {
    SyncCluster cluster;
    App app(cluster.uri(kWaits));
    REQUIRE_MESSAGE(app.run("CREATE TABLE t(x)") == SQLITE_OK, cluster.why(app));
    wal_syncs.fail();
    CHECK(app.run("INSERT INTO t VALUES(1)") == SQLITE_IOERR);
    wal_syncs.succeed();
    CHECK(sqlite3_extended_errcode(app.db()) == (SQLITE_IOERR | 85 << 8));
    CHECK(app.ask("PRAGMA tanist_status").find("cannot be synced") != std::string::npos);
    CHECK(cluster.stock("SELECT count(*) FROM t") == "1");
    // The system tells of lost bytes once; they are still missing from this WAL.
    CHECK(app.run("INSERT INTO t VALUES(2)") == SQLITE_IOERR);
}
