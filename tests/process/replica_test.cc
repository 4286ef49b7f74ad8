// A replica daemon that is killed, stopped and started again. TANIST_TEST_KILLS and
// TANIST_TEST_MIB make the tests longer; see docs/testing.md.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tests/support/process/dice.h"
#include "tests/support/replica_fixture.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

int64_t setting(const char* name, int64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::atoll(text);
}

void must(Database& db, const std::string& sql) {
    const int rc = db.run(sql);
    REQUIRE_MESSAGE(rc == SQLITE_OK, db.trouble());
}

// A stock application: commits without a pause, on a thread of its own, until it is stopped.
class Writer {
  public:
    explicit Writer(const std::string& path) : path_(path) {
        must(db_, path, "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, body BLOB)");
        thread_ = std::thread([this] {
            while (!stop_.load()) {
                if (db_.run("INSERT INTO t(body) VALUES(randomblob(3000))") == SQLITE_OK) {
                    commits_ += 1;
                } else {
                    failures_ += 1;
                }
            }
        });
    }
    ~Writer() { stop(); }
    // The number of commits.
    int64_t stop() {
        stop_.store(true);
        if (thread_.joinable()) thread_.join();
        return commits_.load();
    }
    int64_t commits() const { return commits_.load(); }
    int64_t failures() const { return failures_.load(); }

  private:
    static void must(Database& db, const std::string& path, const std::string& sql) {
        REQUIRE(db.open(path, {}) == SQLITE_OK);
        REQUIRE(db.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL") == SQLITE_OK);
        REQUIRE(db.run(sql) == SQLITE_OK);
    }
    std::string path_;
    Database db_;
    std::atomic<bool> stop_{false};
    std::atomic<int64_t> commits_{0};
    std::atomic<int64_t> failures_{0};
    std::thread thread_;
};

// A stock reader that stays: what it sees may only grow, without holes.
class Reader {
  public:
    explicit Reader(const std::string& path) {
        OpenOptions how;
        how.flags = SQLITE_OPEN_READWRITE;
        REQUIRE(db_.open(path, how) == SQLITE_OK);
        thread_ = std::thread([this] {
            while (!stop_.load()) look();
        });
    }
    ~Reader() { stop(); }
    void stop() {
        stop_.store(true);
        if (thread_.joinable()) thread_.join();
    }
    std::string wrong() const { return wrong_; }
    int64_t looks() const { return looks_; }

  private:
    void look() {
        std::string seen;
        const int rc = db_.ask("SELECT max(id) || ' ' || count(*) FROM t", seen);
        ::usleep(500);
        if (rc == SQLITE_BUSY) return;
        looks_ += 1;
        const int64_t newest = std::atoll(seen.c_str());
        const int64_t rows = std::atoll(seen.substr(seen.find(' ') + 1).c_str());
        if (rc != SQLITE_ROW && rc != SQLITE_OK) wrong_ = db_.trouble();
        if (newest != rows) wrong_ = "rows are missing: " + seen;
        if (newest < newest_) wrong_ = "went back to " + seen;
        newest_ = newest;
    }
    Database db_;
    int64_t newest_ = 0;
    int64_t looks_ = 0;
    std::string wrong_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

void fill(const std::string& path, int64_t mib) {
    Database db;
    REQUIRE(db.open(path, {}) == SQLITE_OK);
    must(db,
         "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
         "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, body BLOB)");
    for (int64_t done = 0; done < mib; ++done) {
        must(db, "INSERT INTO t(body) VALUES(randomblob(1048000))");
    }
}

// "received" of the last finished sync, in MB.
double received_mb(const ReplicaFixture& pair) {
    const std::string log = pair.log_of("replica.log");
    const size_t at = log.rfind("received=");
    if (at == std::string::npos) return -1;
    return std::atof(log.c_str() + log.find_first_of("0123456789", at));
}

}  // namespace

TEST_CASE("replica: killed again and again under load, it resumes from its own log") {
    ReplicaFixture pair;
    Dice dice(7);
    pair.start_replica();
    Writer writer(pair.primary());
    pair.start_engine();
    REQUIRE(pair.replica_answers("SELECT count(*) > 0 FROM t", 1));
    Reader reader(pair.replica());
    const int64_t kills = setting("TANIST_TEST_KILLS", 12);
    for (int64_t i = 0; i < kills; ++i) {
        ::usleep(static_cast<useconds_t>(dice.between(20'000, 400'000)));
        pair.daemon().kill();
        pair.start_replica();
    }
    const int64_t commits = writer.stop();
    CHECK(writer.failures() == 0);
    CHECK(pair.replica_answers("SELECT count(*) FROM t", commits));
    reader.stop();
    CHECK(reader.wrong() == "");
    CHECK(reader.looks() > 0);
    CHECK(pair.equal());
    CHECK(pair.count_in("engine.log", "state=syncing") == 1);
    CHECK(read_engine_totals(pair.primary()).rebases == 1);  // the log's beginning
}

TEST_CASE("replica: killed in the middle of a delta sync, only what is missing travels again") {
    ReplicaFixture pair;
    const int64_t mib = setting("TANIST_TEST_MIB", 48);
    fill(pair.primary(), mib);
    pair.start_replica();
    pair.start_engine();
    const std::string staged = pair.replica() + "-tanist/base/pages";
    const auto half = static_cast<uintmax_t>(mib) << 19;
    REQUIRE(eventually([&] {
        std::error_code none;
        const uintmax_t bytes = std::filesystem::file_size(staged, none);
        return !none && bytes >= half;
    }));
    pair.daemon().kill();
    REQUIRE(!std::filesystem::exists(pair.replica()));
    pair.start_replica();
    CHECK(pair.replica_answers("SELECT count(*) FROM t", mib));
    CHECK(pair.equal());
    const double received = received_mb(pair);
    CHECK(received >= 0);
    CHECK(received < static_cast<double>(mib) * 0.6);
}

TEST_CASE("replica: while it is stopped the application goes on, and it catches up") {
    ReplicaFixture pair;
    pair.start_replica();
    Writer writer(pair.primary());
    pair.start_engine();
    REQUIRE(pair.replica_answers("SELECT count(*) > 0 FROM t", 1));
    pair.daemon().signal(SIGSTOP);
    const int64_t before = writer.commits();
    REQUIRE(eventually([&] { return writer.commits() > before + 3000; }));
    CHECK(status_kib(pair.engine().pid(), "VmRSS") < 64 * 1024);
    pair.daemon().signal(SIGCONT);
    const int64_t commits = writer.stop();
    CHECK(writer.failures() == 0);
    CHECK(pair.replica_answers("SELECT count(*) FROM t", commits));
    CHECK(pair.equal());
    CHECK(pair.count_in("engine.log", "state=syncing") == 1);
}

// It runs a tenth of the time.
TEST_CASE("replica: a slow one costs the application nothing and nobody memory") {
    ReplicaFixture pair;
    pair.start_replica();
    Writer writer(pair.primary());
    pair.start_engine();
    REQUIRE(pair.replica_answers("SELECT count(*) > 0 FROM t", 1));
    const int64_t before = writer.commits();
    while (writer.commits() < before + 5000) {
        pair.daemon().signal(SIGSTOP);
        ::usleep(45'000);
        pair.daemon().signal(SIGCONT);
        ::usleep(5'000);
    }
    const int64_t commits = writer.stop();
    CHECK(writer.failures() == 0);
    CHECK(pair.replica_answers("SELECT count(*) FROM t", commits));
    CHECK(pair.equal());
    CHECK(status_kib(pair.engine().pid(), "VmHWM") < 64 * 1024);
    CHECK(status_kib(pair.daemon().pid(), "VmHWM") < 64 * 1024);
    CHECK(pair.count_in("engine.log", "state=syncing") == 1);
}

TEST_CASE("replica: one that stays away longer than the log reaches back gets a delta sync") {
    ReplicaFixture pair;
    pair.start_replica();
    // Follows before the load begins, which on a busy machine outruns so short a log.
    const int64_t before = Writer(pair.primary()).stop();
    pair.start_engine({"--log-segment-bytes", "1MiB", "--log-bytes-max", "4MiB"});
    REQUIRE(pair.replica_answers("SELECT count(*) FROM t", before));
    pair.daemon().kill();
    Writer writer(pair.primary());
    const uint64_t had = read_engine_totals(pair.primary()).lsn;
    REQUIRE(eventually([&] { return read_engine_totals(pair.primary()).log_first > had + 1; }));
    pair.start_replica();
    const int64_t commits = before + writer.stop();
    CHECK(writer.failures() == 0);
    CHECK(pair.replica_answers("SELECT count(*) FROM t", commits));
    CHECK(pair.equal());
    CHECK(pair.count_in("engine.log", "state=syncing") >= 2);
}
