// bench_apply DIR --commits N --pages N: the same commits, page for page, put into three copies of
// one database: by the stock pager, by our WAL writer (one local commit each, like the pager), and
// by the applier as a replica runs it (read from a log, checked, merged when behind). Prints the
// pages per second of the three, and whether the files are equal in the end.
//
// Checkpoints are part of all three, every 1000 frames, without fsync: a disk that others use as
// well would drown the difference.
//
// The stock pager is called directly: Debian's libsqlite3 exports its internal functions. That is
// good enough for a yardstick and for nothing else; where they are missing, so is the comparison.
#include <dlfcn.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "replicator/apply/applier.h"
#include "tests/support/process/arguments.h"
#include "tests/support/process/database.h"
#include "tests/support/process/dice.h"

namespace {

using namespace tanist;
using std::chrono::steady_clock;
using testing::Database;
using testing::Dice;

constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kDbPages = 20'000;
constexpr uint32_t kCheckpointFrames = 1000;

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "bench_apply: %s\n", why.c_str());
    std::exit(1);
}

template <class T>
T must(Result<T> result) {
    if (!result) give_up(result.error().message);
    return std::move(result).value();
}
void must_run(Database& db, const std::string& sql) {
    if (db.run(sql) != SQLITE_OK) give_up(db.trouble());
}

struct Commit {
    std::vector<Pgno> pages;
    uint64_t seed = 0;
};

// Never page 1, which both sides mark in their own way. `image` is cheap to make, so that the
// making does not blur the measurement.
void make_image(uint64_t seed, Pgno pgno, MutableBytes image) {
    std::memset(image.data(), static_cast<int>(seed + pgno.value), image.size());
    std::memcpy(image.data(), &seed, sizeof seed);
}

std::vector<Commit> draw_commits(int64_t count, uint32_t pages) {
    Dice dice(42);
    std::vector<Commit> commits(static_cast<size_t>(count));
    for (Commit& commit : commits) {
        // A run of neighbours, as from one B-tree, each once.
        const auto first = static_cast<uint32_t>(dice.between(2, kDbPages - 2 * pages));
        commit.seed = dice.next();
        for (uint32_t i = 0; i < pages; ++i) commit.pages.push_back(Pgno(first + 2 * i));
    }
    return commits;
}

void make_database(const std::string& path) {
    Database db;
    if (db.open(path, {}) != SQLITE_OK) give_up(db.trouble());
    must_run(db,
             "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
             "CREATE TABLE filler(body BLOB); BEGIN;"
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20100)"
             "INSERT INTO filler SELECT zeroblob(4000) FROM n; COMMIT;"
             "PRAGMA wal_checkpoint(TRUNCATE)");
}

double seconds_since(steady_clock::time_point start) {
    return std::chrono::duration<double>(steady_clock::now() - start).count();
}

// SQLite's own functions, by name.
struct StockPager {
    int (*begin)(void*, int, int*) = nullptr;
    int (*commit)(void*) = nullptr;
    void* (*pager_of)(void*) = nullptr;
    int (*get)(void*, unsigned, void**, int) = nullptr;
    int (*write)(void*) = nullptr;
    void* (*data)(void*) = nullptr;
    void (*unref)(void*) = nullptr;

    template <class F>
    static bool find(F& function, const char* name) {
        function = reinterpret_cast<F>(::dlsym(RTLD_DEFAULT, name));
        return function != nullptr;
    }
    bool load() {
        return find(begin, "sqlite3BtreeBeginTrans") && find(commit, "sqlite3BtreeCommit") &&
               find(pager_of, "sqlite3BtreePager") && find(get, "sqlite3PagerGet") &&
               find(write, "sqlite3PagerWrite") && find(data, "sqlite3PagerGetData") &&
               find(unref, "sqlite3PagerUnref");
    }
    // struct sqlite3 { pVfs, pVdbe, pDfltColl, mutex, aDb }, struct Db { zDbSName, pBt }.
    static void* btree_of(sqlite3* db) {
        void** databases = nullptr;
        std::memcpy(&databases, reinterpret_cast<char*>(db) + 4 * sizeof(void*), sizeof(void*));
        return databases[1];
    }
};

double run_stock(const std::string& path, const std::vector<Commit>& commits) {
    StockPager stock;
    if (std::strncmp(sqlite3_libversion(), "3.40.", 5) != 0 || !stock.load()) return 0;
    Database db;
    if (db.open(path, {}) != SQLITE_OK) give_up(db.trouble());
    must_run(db, "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0");
    int64_t ignored = 0;
    db.ask("SELECT count(*) FROM sqlite_schema", ignored);
    void* btree = StockPager::btree_of(db.handle());
    void* pager = stock.pager_of(btree);
    constexpr int kWithoutReading = 1;  // PAGER_GET_NOCONTENT: the image is replaced whole
    uint32_t frames = 0;
    const auto start = steady_clock::now();
    for (const Commit& commit : commits) {
        if (stock.begin(btree, 1, nullptr) != SQLITE_OK) give_up("sqlite3BtreeBeginTrans");
        for (const Pgno pgno : commit.pages) {
            void* page = nullptr;
            if (stock.get(pager, pgno.value, &page, kWithoutReading) != SQLITE_OK ||
                stock.write(page) != SQLITE_OK) {
                give_up("sqlite3PagerWrite");
            }
            auto* bytes = static_cast<uint8_t*>(stock.data(page));
            make_image(commit.seed, pgno, MutableBytes(bytes, kPageBytes));
            stock.unref(page);
        }
        if (stock.commit(btree) != SQLITE_OK) give_up("sqlite3BtreeCommit");
        frames += static_cast<uint32_t>(commit.pages.size());
        if (frames < kCheckpointFrames) continue;
        must_run(db, "PRAGMA wal_checkpoint(PASSIVE)");
        frames = 0;
    }
    return seconds_since(start);
}

class CommitPages : public PageSource {
  public:
    CommitPages(const Commit& commit, uint32_t db_pages) : commit_(commit), db_pages_(db_pages) {}
    uint32_t page_count() const override { return static_cast<uint32_t>(commit_.pages.size()); }
    uint32_t page_bytes() const override { return kPageBytes; }
    uint32_t db_pages() const override { return db_pages_; }
    Result<Pgno> page(uint32_t index, MutableBytes image) override {
        make_image(commit_.seed, commit_.pages[index], image);
        return commit_.pages[index];
    }

  private:
    const Commit& commit_;
    uint32_t db_pages_;
};

double run_writer(const std::string& path, const std::vector<Commit>& commits, uint32_t db_pages) {
    auto slots = must(SqliteHandle::open(linked_sqlite(), path, {}));
    auto checkpoints = must(SqliteHandle::open(linked_sqlite(), path, {}));
    must(checkpoints->run("PRAGMA synchronous=OFF"));
    WalWriter writer(*slots, *checkpoints);
    const auto start = steady_clock::now();
    for (const Commit& commit : commits) {
        CommitPages pages(commit, db_pages);
        must(writer.commit(pages, false, std::chrono::seconds(5)));
        must(writer.checkpoint_if_longer_than(kCheckpointFrames));
    }
    return seconds_since(start);
}

void fill_log(Log& log, const std::vector<Commit>& commits, uint32_t db_pages) {
    for (const Commit& commit : commits) {
        const auto count = static_cast<uint32_t>(commit.pages.size());
        Bytes payload(raw_payload_bytes(count, kPageBytes));
        for (uint32_t i = 0; i < count; ++i) {
            const uint32_t number = commit.pages[i].value;
            std::memcpy(&payload[4 * i], &number, 4);  // little-endian machines only
            const auto offset = page_image_offset(count, kPageBytes, i);
            make_image(commit.seed, commit.pages[i],
                       MutableBytes(payload).subspan(offset, kPageBytes));
        }
        RecordHeader header;
        header.group = log.group();
        header.epoch = Epoch(1);
        header.page_bytes = kPageBytes;
        header.db_pages = db_pages;
        header.page_count = count;
        must(log.begin(payload.size()));
        must(log.write(payload));
        must(log.finish(header));
        must(log.publish());
    }
}

double run_applier(const std::string& path, const std::vector<Commit>& commits, uint32_t db_pages) {
    GroupId group;
    group.bytes[0] = 1;
    auto log = must(Log::open(path + "-log", group, {}));
    fill_log(*log, commits, db_pages);
    auto reader = log->reader();
    IntentFile intent = must(IntentFile::open(path + "-intent"));
    must(intent.write({log->base(), log->base()}, false));
    auto applier = must(Applier::open(linked_sqlite(), path, intent, *reader));
    must(applier->checkpoints().run("PRAGMA synchronous=OFF"));
    const auto start = steady_clock::now();
    while (applier->applied().position.lsn < log->end().position.lsn) {
        const ApplyOutcome outcome = must(applier->apply(*reader, log->end().position.lsn));
        if (outcome.needs_sync) give_up("the applier stopped: " + outcome.sync_reason);
    }
    return seconds_since(start);
}

// The whole of the file after a checkpoint, without the replica's mark.
std::string content_of(const std::string& path) {
    {
        Database db;
        db.open(path, {});
        must_run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
    std::ifstream file(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (bytes.size() > 18) bytes[18] = 0;
    return bytes;
}

}  // namespace

int main(int argc, char** argv) {
    testing::Arguments arguments(argc, argv);
    const int64_t count = arguments.number("commits", 10'000);
    const auto pages = static_cast<uint32_t>(arguments.number("pages", 4));
    arguments.finish(1, "bench_apply DIR [--commits N] [--pages PER_COMMIT]");
    const std::string base = arguments.words()[0];
    const std::string paths[] = {base + "/stock.db", base + "/writer.db", base + "/applier.db"};
    for (const std::string& path : paths) make_database(path);
    int64_t db_pages = 0;
    {
        Database db;
        db.open(paths[0], {});
        db.ask("PRAGMA page_count", db_pages);
    }
    const std::vector<Commit> commits = draw_commits(count, pages);
    const double total = static_cast<double>(count) * pages;
    const double stock = run_stock(paths[0], commits);
    const double writer = run_writer(paths[1], commits, static_cast<uint32_t>(db_pages));
    const double applier = run_applier(paths[2], commits, static_cast<uint32_t>(db_pages));
    const std::string truth = content_of(paths[0]);
    const bool equal = truth == content_of(paths[1]) && truth == content_of(paths[2]);
    std::printf("%.1f %.1f %.1f %d\n", stock > 0 ? total / stock : 0.0, total / writer,
                total / applier, equal ? 1 : 0);
    return equal || stock == 0 ? 0 : 1;
}
