// Full disks, made with small file systems in memory: skipped where the test may not mount.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/support/electorate.h"
#include "tests/support/replica_fixture.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

// A file system of its own that can be filled and emptied.
class SmallDisk {
  public:
    SmallDisk(const std::string& path, const std::string& size) : path_(path) {
        std::filesystem::create_directories(path);
        mounted_ = ::mount("tanist-test", path.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
        if (!mounted_) MESSAGE("skipped: this user may not mount a tmpfs, so no disk can be full");
    }
    ~SmallDisk() {
        if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    bool mounted() const { return mounted_; }
    std::string path(const std::string& name) const { return path_ + "/" + name; }
    // Nothing more fits.
    void fill() const {
        const int file = ::open(path("ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        REQUIRE(file >= 0);
        const std::string block(4096, 'x');
        while (::write(file, block.data(), block.size()) > 0) {
        }
        ::close(file);
    }
    void empty() const { std::filesystem::remove(path("ballast")); }

  private:
    std::string path_;
    bool mounted_ = false;
};

// Inserts `count` rows of 3000 bytes, one commit each, and says how many were refused.
int insert(Database& db, int count) {
    int refused = 0;
    for (int i = 0; i < count; ++i) {
        if (db.run("INSERT INTO t(body) VALUES(randomblob(3000))") != SQLITE_OK) refused += 1;
    }
    return refused;
}

void make_application(Database& db, const std::string& path) {
    REQUIRE(db.open(path, {}) == SQLITE_OK);
    REQUIRE(db.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                   "CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)") == SQLITE_OK);
}

}  // namespace

TEST_CASE("disk full: a replica refuses, says so, and resumes by itself") {
    TempDir dir;
    const SmallDisk disk(dir.path("disk"), "64m");
    if (!disk.mounted()) return;
    ReplicaFixture pair(dir.path("app.db"), disk.path("replica.db"));
    Database app;
    make_application(app, pair.primary());
    pair.start_replica({"--log-segment-bytes", "1MiB"});
    pair.start_engine();
    REQUIRE(insert(app, 100) == 0);
    REQUIRE(pair.replica_answers("SELECT count(*) FROM t", 100));

    disk.fill();
    CHECK(insert(app, 1000) == 0);
    CHECK(eventually(
        [&] { return pair.status_of(pair.primary()).find("disk is full") != std::string::npos; }));
    CHECK(eventually([&] {
        return pair.status_of(pair.replica()).find("cannot be written") != std::string::npos;
    }));
    const int64_t rows = ReplicaFixture::ask(pair.replica(), "SELECT count(*) FROM t");
    CHECK(rows >= 100);

    disk.empty();
    CHECK(insert(app, 100) == 0);
    CHECK(pair.replica_answers("SELECT count(*) FROM t", 1200));
    CHECK(pair.equal());
    CHECK(eventually([&] {
        return pair.status_of(pair.replica()).find("cannot be written") == std::string::npos;
    }));
}

TEST_CASE("disk full: without room for the log the application is unharmed and the WAL bounded") {
    TempDir dir;
    const SmallDisk disk(dir.path("app.db-tanist"), "24m");
    if (!disk.mounted()) return;
    ReplicaFixture pair(dir.path("app.db"), dir.path("replica.db"));
    Database app;
    make_application(app, pair.primary());
    pair.start_replica();
    pair.start_engine({"--log-segment-bytes", "1MiB", "--wal-bytes-max", "1MiB"});
    REQUIRE(insert(app, 100) == 0);
    REQUIRE(pair.replica_answers("SELECT count(*) FROM t", 100));

    disk.fill();
    uintmax_t wal_most = 0;
    for (int i = 0; i < 30; ++i) {
        CHECK(insert(app, 200) == 0);
        wal_most = std::max(wal_most, std::filesystem::file_size(pair.primary() + "-wal"));
    }
    // Four times --wal-bytes-max, and what stock SQLite adds between two of its checkpoints.
    CHECK(wal_most < 16u << 20);
    CHECK(eventually(
        [&] { return pair.status_of(pair.primary()).find("No space left") != std::string::npos; }));

    disk.empty();
    CHECK(insert(app, 100) == 0);
    CHECK(pair.replica_answers("SELECT count(*) FROM t", 6200));
    CHECK(pair.equal());
    CHECK(eventually(
        [&] { return pair.status_of(pair.primary()).find("No space left") == std::string::npos; }));
}

// A stock process obeys no lease, so a commit can be visible that the log has no room for.
TEST_CASE("disk full: an elected primary is replaced, and keeps what its log could not take") {
    std::unique_ptr<SmallDisk> disk;
    Electorate group(false, "durable:1", {"--log-segment-bytes", "1MiB"}, [&](const Voter& a) {
        disk = std::make_unique<SmallDisk>(a.db + "-tanist", "24m");
    });
    if (!disk->mounted()) return;
    REQUIRE(group.writes(group.a, "kept") == "ok");
    disk->fill();
    const std::string big = "INSERT INTO t VALUES(randomblob(3000000))";  // more than a segment
    StockSqlite(group.a.db).must(big);
    const Voter* next = group.elected({&group.b, &group.c});
    INFO(group.a.daemon.said());
    REQUIRE(next != nullptr);
    CHECK(group.writes_soon(*next, "after"));
    // It must not follow before that commit is saved: its pages would stay beside the others'.
    CHECK(group.status(group.a)["role"] != "replica");
    CHECK(group.a.ask("SELECT count(*) FROM t") == "2");
    disk->empty();
    const Voter& other = next == &group.b ? group.c : group.b;
    CHECK(group.equal_soon(*next, {&group.a, &other}));
    CHECK(group.a.ask("SELECT count(*) FROM t") == "2");
    const auto list = nlohmann::json::parse(group.run("diverged list a.db --json").text);
    REQUIRE(list["diverged"].size() == 1);
    CHECK(list["diverged"][0]["commits"] == 1);
}
