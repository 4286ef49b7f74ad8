#include "replicator/apply/wal_writer.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "tests/support/stock_sqlite.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

// Pages of a primary, copied out with stock SQLite's checkpointed file.
struct Image {
    uint32_t page_bytes = 0;
    std::vector<Bytes> pages;
};

// A primary beside a replica that starts as its copy; copy() ships what changed since.
struct Pair {
    TempDir dir;
    std::string primary_path = dir.path("primary.db");
    std::string replica_path = dir.path("replica.db");
    StockSqlite primary{primary_path};
    std::unique_ptr<SqliteHandle> slots;
    std::unique_ptr<SqliteHandle> sql;
    std::unique_ptr<WalWriter> writer;
    Image shipped;

    explicit Pair(const std::string& page_size = "4096") {
        primary.must("PRAGMA page_size=" + page_size);
        primary.must("PRAGMA journal_mode=WAL");
        primary.must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
        primary.must("INSERT INTO t VALUES(1, 'one')");
        shipped = image();
        std::filesystem::copy_file(primary_path, replica_path);
        open();
    }
    void open() {
        writer.reset();
        slots = SqliteHandle::open(linked_sqlite(), replica_path, {}).value();
        sql = SqliteHandle::open(linked_sqlite(), replica_path, {}).value();
        writer = std::make_unique<WalWriter>(*slots, *sql);
    }
    void close() {
        writer.reset();
        slots.reset();
        sql.reset();
    }
    Image image() {
        primary.must("PRAGMA wal_checkpoint(TRUNCATE)");
        const Bytes file = read_all(primary_path);
        Image now;
        now.page_bytes = static_cast<uint32_t>(std::stoul(primary.ask("PRAGMA page_size")));
        for (size_t at = 0; at < file.size(); at += now.page_bytes) {
            now.pages.emplace_back(file.begin() + static_cast<std::ptrdiff_t>(at),
                                   file.begin() + static_cast<std::ptrdiff_t>(at + now.page_bytes));
        }
        return now;
    }
    // A copy on the side: closing a descriptor of the database would drop SQLite's locks.
    Bytes read_all(const std::string& path) {
        const std::string copy = dir.path("copy");
        std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
        FILE* file = std::fopen(copy.c_str(), "rb");
        Bytes bytes(std::filesystem::file_size(copy));
        CHECK(std::fread(bytes.data(), 1, bytes.size(), file) == bytes.size());
        std::fclose(file);
        return bytes;
    }
    Status copy();
    bool same_files() {
        sql->checkpoint_passive().ok();
        Bytes ours = read_all(replica_path);
        image();
        if (ours.size() < 100) return false;
        ours[18] = 2;  // 3 once page 1 was committed
        return ours == read_all(primary_path);
    }
};

class ChangedPages : public PageSource {
  public:
    ChangedPages(const Image& before, const Image& now) : now_(now) {
        for (uint32_t i = 0; i < now.pages.size(); ++i) {
            if (i >= before.pages.size() || now.pages[i] != before.pages[i]) pages_.push_back(i);
        }
    }
    uint32_t page_count() const override { return static_cast<uint32_t>(pages_.size()); }
    uint32_t page_bytes() const override { return now_.page_bytes; }
    uint32_t db_pages() const override { return static_cast<uint32_t>(now_.pages.size()); }
    Result<Pgno> page(uint32_t index, MutableBytes image) override {
        if (fail_at == index) return Error{Errc::io, "as the test wants"};
        if (kill_at == index) raise(SIGKILL);
        std::copy(now_.pages[pages_[index]].begin(), now_.pages[pages_[index]].end(),
                  image.begin());
        return Pgno(pages_[index] + 1);
    }
    uint32_t fail_at = UINT32_MAX;
    uint32_t kill_at = UINT32_MAX;

  private:
    const Image& now_;
    std::vector<uint32_t> pages_;
};

Status Pair::copy() {
    Image now = image();
    ChangedPages pages(shipped, now);
    Status done = writer->commit(pages, false, std::chrono::seconds(5));
    if (done.ok()) shipped = std::move(now);
    return done;
}

}  // namespace

TEST_CASE("wal_writer: a live stock reader sees each commit, for every page size") {
    for (const char* size : {"512", "4096", "65536"}) {
        Pair pair(size);
        StockSqlite reader(pair.replica_path);
        CHECK(reader.ask("SELECT count(*) FROM t") == "1");
        for (int i = 2; i < 20; ++i) {
            pair.primary.must("INSERT INTO t VALUES(" + std::to_string(i) + ", zeroblob(3000))");
            REQUIRE(pair.copy().ok());
            CHECK(reader.ask("SELECT count(*) FROM t") == std::to_string(i));
        }
        CHECK(reader.ask("PRAGMA integrity_check") == "ok");
        CHECK(pair.same_files());
    }
}

TEST_CASE("wal_writer: a reader's snapshot stays what it was") {
    Pair pair;
    StockSqlite reader(pair.replica_path);
    reader.must("BEGIN");
    CHECK(reader.ask("SELECT count(*) FROM t") == "1");
    pair.primary.must("INSERT INTO t VALUES(2, 'two')");
    REQUIRE(pair.copy().ok());
    REQUIRE(pair.copy().ok());
    CHECK(reader.ask("SELECT count(*) FROM t") == "1");
    reader.must("COMMIT");
    CHECK(reader.ask("SELECT count(*) FROM t") == "2");
}

TEST_CASE("wal_writer: stock SQLite refuses to write a replica") {
    Pair pair;
    pair.primary.must("CREATE TABLE u(x)");  // changes page 1
    REQUIRE(pair.copy().ok());
    StockSqlite writer(pair.replica_path);
    CHECK(writer.run("INSERT INTO t VALUES(9, 'x')") == SQLITE_READONLY);
    CHECK(writer.ask("SELECT count(*) FROM t") == "1");
}

TEST_CASE("wal_writer: the database grows and shrinks with the primary's") {
    Pair pair;
    pair.primary.must("INSERT INTO t VALUES(2, zeroblob(5000000))");
    REQUIRE(pair.copy().ok());
    CHECK(pair.same_files());
    pair.primary.must("DELETE FROM t WHERE id=2");
    pair.primary.must("VACUUM");
    REQUIRE(pair.copy().ok());
    CHECK(pair.same_files());
    CHECK(StockSqlite(pair.replica_path).ask("PRAGMA integrity_check") == "ok");
}

TEST_CASE("wal_writer: a WAL that was written back starts again") {
    Pair pair;
    uint32_t longest = 0;
    std::map<uint32_t, int> salts;
    for (int i = 2; i < 30; ++i) {
        pair.primary.must("INSERT INTO t VALUES(" + std::to_string(i) + ", zeroblob(9000))");
        REQUIRE(pair.copy().ok());
        const WalIndexHeader header = pair.slots->header().value().value();
        longest = std::max(longest, header.max_frame);
        salts[header.salt.salt2] += 1;
        REQUIRE(pair.writer->checkpoint_if_longer_than(20).ok());
    }
    CHECK(longest < 60);
    CHECK(salts.size() > 2);
    CHECK(pair.same_files());
}

TEST_CASE("wal_writer: an old reader delays the restart, not the commit") {
    Pair pair;
    pair.primary.must("INSERT INTO t VALUES(2, 'two')");
    REQUIRE(pair.copy().ok());
    StockSqlite reader(pair.replica_path);
    reader.must("BEGIN");
    CHECK(reader.ask("SELECT count(*) FROM t") == "2");
    REQUIRE(pair.sql->checkpoint_passive().ok());
    for (int i = 3; i < 10; ++i) {
        pair.primary.must("INSERT INTO t VALUES(" + std::to_string(i) + ", 'x')");
        REQUIRE(pair.copy().ok());
    }
    CHECK(reader.ask("SELECT count(*) FROM t") == "2");
    reader.must("COMMIT");
    CHECK(reader.ask("SELECT count(*) FROM t") == "9");
}

TEST_CASE("wal_writer: after an error nothing is visible, and the same commit succeeds again") {
    Pair pair;
    pair.primary.must("INSERT INTO t VALUES(2, zeroblob(3000000))");
    const Image now = pair.image();
    ChangedPages failing(pair.shipped, now);
    failing.fail_at = failing.page_count() - 1;
    CHECK_FALSE(pair.writer->commit(failing, false, std::chrono::seconds(1)).ok());
    StockSqlite reader(pair.replica_path);
    CHECK(reader.ask("SELECT count(*) FROM t") == "1");
    REQUIRE(pair.copy().ok());
    CHECK(reader.ask("SELECT count(*) FROM t") == "2");
    CHECK(pair.same_files());
}

TEST_CASE("wal_writer: a foreign holder of the write lock makes it busy, not stuck") {
    Pair pair;
    pair.primary.must("INSERT INTO t VALUES(2, 'two')");
    REQUIRE(pair.sql->lock(kLockWrite, 1, true).ok());
    const Image now = pair.image();
    ChangedPages pages(pair.shipped, now);
    Status refused = pair.writer->commit(pages, false, std::chrono::milliseconds(5));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::busy);
    pair.sql->unlock(kLockWrite, 1, true);
    CHECK(pair.copy().ok());
}

TEST_CASE("wal_writer: another page size is refused") {
    Pair small("512");
    Pair large("4096");
    large.primary.must("INSERT INTO t VALUES(2, 'two')");
    const Image now = large.image();
    ChangedPages pages(large.shipped, now);
    Status refused = small.writer->commit(pages, false, std::chrono::seconds(1));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::invalid);
}

TEST_CASE("wal_writer: the first read mark follows, for users who cannot write") {
    Pair pair;
    pair.primary.must("INSERT INTO t VALUES(2, 'two')");
    REQUIRE(pair.copy().ok());
    const uint32_t frame = pair.slots->header().value()->max_frame;
    CHECK(pair.slots->checkpoint_info()->read_mark[1] == frame);
}

namespace {

// Kills this process at the k-th call that the writer makes into SQLite's files and locks.
struct KillAtCall {
    static inline int left = 0;
    static inline const sqlite3_io_methods* db_methods = nullptr;
    static inline const sqlite3_io_methods* wal_methods = nullptr;
    static void count() {
        if (--left == 0) raise(SIGKILL);
    }
    static int write(sqlite3_file* file, const void* bytes, int count_bytes, sqlite3_int64 at) {
        count();
        return wal_methods->xWrite(file, bytes, count_bytes, at);
    }
    static int sync(sqlite3_file* file, int flags) {
        count();
        return wal_methods->xSync(file, flags);
    }
    static int map(sqlite3_file* file, int index, int bytes, int extend, void volatile** memory) {
        count();
        return db_methods->xShmMap(file, index, bytes, extend, memory);
    }
    static int lock(sqlite3_file* file, int first, int slots, int flags) {
        count();
        return db_methods->xShmLock(file, first, slots, flags);
    }
    KillAtCall(SqliteHandle& handle, int call) {
        static sqlite3_io_methods db;
        static sqlite3_io_methods wal;
        sqlite3_file* db_file = nullptr;
        sqlite3_file* wal_file = nullptr;
        sqlite3_file_control(handle.connection(), "main", SQLITE_FCNTL_FILE_POINTER, &db_file);
        sqlite3_file_control(handle.connection(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal_file);
        db_methods = db_file->pMethods;
        wal_methods = wal_file->pMethods;
        db = *db_methods;
        wal = *wal_methods;
        db.xShmMap = map;
        db.xShmLock = lock;
        wal.xWrite = write;
        wal.xSync = sync;
        db_file->pMethods = &db;
        wal_file->pMethods = &wal;
        left = call;
    }
};

}  // namespace

// At every call: what readers see is the old state or the new one, never a mixture and never the
// old one after the new one; and in the end the same commit succeeds. The first rounds restart a
// written-back WAL, the later ones find a dead writer's frames and index entries.
TEST_CASE("wal_writer: killed at each of its calls, the database is whole") {
    for (const bool written_back : {true, false}) {
        Pair pair;
        pair.primary.must("INSERT INTO t VALUES(2, zeroblob(400000))");
        REQUIRE(pair.copy().ok());
        if (written_back) REQUIRE(pair.sql->checkpoint_passive().ok());
        pair.primary.must("UPDATE t SET x=zeroblob(500000) WHERE id=2");
        pair.primary.must("INSERT INTO t VALUES(3, zeroblob(700000))");
        const Image now = pair.image();
        pair.close();
        bool seen_new = false;
        int kills = 0;
        for (int call = 1; !seen_new && call < 200; ++call) {
            const pid_t child = fork();
            if (child == 0) {
                pair.open();
                KillAtCall killer(*pair.slots, call);
                ChangedPages pages(pair.shipped, now);
                pair.writer->commit(pages, true, std::chrono::seconds(1)).ok();
                _exit(0);
            }
            int status = 0;
            waitpid(child, &status, 0);
            kills += WIFSIGNALED(status) ? 1 : 0;
            StockSqlite reader(pair.replica_path);
            const std::string rows = reader.ask("SELECT count(*) FROM t");
            CHECK((rows == "2" || rows == "3"));
            CHECK(reader.ask("SELECT length(x) FROM t WHERE id=2") ==
                  (rows == "2" ? "400000" : "500000"));
            CHECK(reader.ask("PRAGMA integrity_check") == "ok");
            seen_new = rows == "3";
        }
        CHECK(seen_new);
        CHECK(kills > 10);
        pair.open();
        REQUIRE(pair.copy().ok());
        CHECK(pair.same_files());
    }
}

TEST_CASE("wal_writer: killed between the two header copies, the commit is recovered") {
    Pair pair;
    Bytes before(48);
    volatile uint8_t* memory = static_cast<volatile uint8_t*>(*pair.slots->region(0, false));
    std::copy(memory, memory + 48, before.begin());
    pair.primary.must("INSERT INTO t VALUES(2, 'two')");
    REQUIRE(pair.copy().ok());
    std::copy(before.begin(), before.end(), memory);
    pair.primary.must("INSERT INTO t VALUES(3, 'three')");
    REQUIRE(pair.copy().ok());
    CHECK(StockSqlite(pair.replica_path).ask("SELECT count(*) FROM t") == "3");
    CHECK(pair.same_files());
}
