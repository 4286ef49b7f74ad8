// Both sides of a delta sync in memory, with a live writer between the asks.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "replicator/sync/page_source.h"
#include "replicator/sync/staging.h"
#include "replicator/sync/sync_sink.h"
#include "tests/support/disk_limits.h"
#include "tests/support/primary.h"

using namespace tanist;

namespace {

std::string blob_rows(int from, int count, int bytes) {
    return "WITH RECURSIVE n(i) AS (SELECT " + std::to_string(from) +
           " UNION ALL SELECT i+1 FROM n WHERE i<" + std::to_string(from + count - 1) +
           ") INSERT INTO t SELECT i, randomblob(" + std::to_string(bytes) + ") FROM n";
}

struct Sync {
    Primary primary;
    TempDir dir;
    std::string path = dir.path("replica.db");
    IntentFile intent = IntentFile::open(dir.path("intent")).value();
    std::unique_ptr<LogReader> reader = primary.log->reader();
    std::unique_ptr<SyncPageSource> source;
    std::unique_ptr<SyncSink> sink;
    std::unique_ptr<Applier> applier;
    uint64_t pages_sent = 0;
    StagedForm form;

    explicit Sync(const std::string& page_size = "4096") : primary(page_size) {}
    void begin() {
        source =
            SyncPageSource::open(SqliteHandle::open(linked_sqlite(), primary.path(), {}).value())
                .value();
        sink = SyncSink::open(linked_sqlite(), path, dir.path("base"), form).value();
        SyncBegin begin;
        begin.base = primary.end().position;
        begin.base_chain = primary.end().chain;
        begin.page_bytes = source->page_bytes();
        begin.db_pages = source->db_pages().value();
        pages_sent = 0;
        Status begun = sink->begin(begin, applier ? &applier->handle() : nullptr);
        REQUIRE(begun.ok());
    }
    // One ask and its answer. False: nothing is left to ask.
    bool step() {
        Result<std::optional<SyncAsk>> ask = sink->next_ask();
        REQUIRE(ask.ok());
        if (!ask->has_value()) return false;
        Status answered = source->answer(
            **ask,
            [&](uint32_t number, bool last, std::span<const uint32_t> pages, ByteView images) {
                CHECK(images.size() <= limits::kBodyBytesMax);
                SyncPages got;
                got.ask = number;
                got.last = last;
                got.pages.assign(pages.begin(), pages.end());
                got.images = images;
                pages_sent += pages.size();
                Status taken = sink->got(got);
                CHECK(taken.ok());
                return true;
            });
        CHECK(answered.ok());
        return true;
    }
    void run(const std::function<void()>& between = [] {}) {
        while (step()) between();
        CHECK(sink->complete());
    }
    void install() {
        Result<LogPoint> end =
            sink->install(*reader, primary.end().position.lsn, intent, applier.get());
        if (!end.ok()) FAIL(end.error().message);
        CHECK(*end == primary.end());
        if (sink->replaced_database()) applier.reset();
        if (!applier) open_applier();
        CHECK(applier->applied() == primary.end());
    }
    void open_applier() {
        applier.reset();
        applier = Applier::open(linked_sqlite(), path, intent, *reader).value();
    }
    void seal(int key_byte) {
        LogKey key;
        key.bytes.fill(static_cast<uint8_t>(key_byte));
        form = StagedForm(std::make_shared<const LogCipher>(key));
    }
    // What stands in the files of the staging, one behind the other.
    std::string staged() const {
        std::string all;
        for (const auto& file : std::filesystem::directory_iterator(dir.path("base"))) {
            const Bytes bytes = read_file(file.path().string(), 1u << 30).value();
            all.append(bytes.begin(), bytes.end());
        }
        return all;
    }
    bool staging_shows(const std::string& text) const {
        return staged().find(text) != std::string::npos;
    }
    // Flips one byte of the page's image in its sealed place.
    void damage_sealed(uint32_t pgno) const {
        File pages = File::open(dir.path("base/pages"), File::Mode::write).value();
        const uint64_t at = uint64_t{pgno - 1} * form.slot_bytes(4096) + 100;
        Bytes byte(1);
        REQUIRE(pages.read_exactly_at(at, byte).ok());
        byte[0] ^= 1;
        REQUIRE(pages.write_at(at, byte).ok());
    }
    void whole_sync() {
        begin();
        run();
        install();
    }
    bool same() {
        StockSqlite db(path);
        sqlite3_int64 bytes = 0;
        unsigned char* content = sqlite3_serialize(db.connection(), "main", &bytes, 0);
        Bytes ours(content, content + bytes);
        sqlite3_free(content);
        Bytes theirs;
        for (const Bytes& page : primary.image()) {
            theirs.insert(theirs.end(), page.begin(), page.end());
        }
        if (ours.size() < 100 || ours[18] != 3) return false;
        ours[18] = 2;
        return ours == theirs && db.ask("PRAGMA integrity_check") == "ok";
    }
};

// Two asks are answered, then the connection breaks.
void check_that_a_break_costs_nothing(Sync& sync) {
    sync.begin();
    sync.step();
    sync.step();
    const uint64_t first = sync.pages_sent;
    CHECK(first > 1000);
    sync.sink.reset();
    sync.begin();
    sync.run();
    CHECK(sync.pages_sent + first <= sync.primary.db_pages() + 1);
    sync.install();
    CHECK(sync.same());
}

}  // namespace

TEST_CASE("sync: a replica without a database gets the primary's, for every page size") {
    for (const char* size : {"512", "4096", "65536"}) {
        Sync sync(size);
        sync.primary.commit(blob_rows(1, 300, 3000));
        sync.whole_sync();
        CHECK(sync.same());
        CHECK(StockSqlite(sync.path).run("INSERT INTO t VALUES(0,0)") == SQLITE_READONLY);
        CHECK_FALSE(path_exists(sync.dir.path("base/pages")));
    }
}

TEST_CASE("sync: commits, checkpoints and restarts during the copy are in the result") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 3000, 3000));
    int round = 0;
    sync.begin();
    sync.run([&] {
        round += 1;
        sync.primary.commit("UPDATE t SET x=randomblob(2000) WHERE id % 7 = " +
                            std::to_string(round % 7));
        if (round % 2 == 0) sync.primary.db.must("PRAGMA wal_checkpoint(TRUNCATE)");
        sync.primary.commit(blob_rows(10000 * round, 10, 5000));
    });
    CHECK(round >= 2);
    sync.install();
    CHECK(sync.same());
}

TEST_CASE("sync: a database that shrinks during the copy has its new size") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 3000, 3000));
    sync.begin();
    sync.step();
    sync.primary.commit("DELETE FROM t WHERE id > 100");
    sync.primary.commit("VACUUM");
    sync.primary.db.must("PRAGMA wal_checkpoint(TRUNCATE)");
    sync.run();
    sync.install();
    CHECK(sync.same());
}

TEST_CASE("sync: only pages that differ travel to an existing replica") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 2000, 3000));
    sync.whole_sync();
    sync.primary.commit("UPDATE t SET x=randomblob(3000) WHERE id IN (7, 900)");
    sync.begin();
    sync.run();
    CHECK(sync.pages_sent < 10);
    StockSqlite live(sync.path);
    live.must("BEGIN");
    const std::string before = live.ask("SELECT hex(x) FROM t WHERE id=7");
    sync.install();
    CHECK(live.ask("SELECT hex(x) FROM t WHERE id=7") == before);
    live.must("COMMIT");
    CHECK(live.ask("SELECT hex(x) FROM t WHERE id=7") ==
          sync.primary.db.ask("SELECT hex(x) FROM t WHERE id=7"));
    CHECK(sync.same());
    sync.primary.commit(blob_rows(50000, 3, 100));
    CHECK(sync.applier->apply(*sync.reader, sync.primary.end().position.lsn).ok());
    CHECK(sync.same());
}

TEST_CASE("sync: an old copy that no applier knows is brought up to date, not sent again") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 1000, 3000));
    sync.primary.db.must("PRAGMA wal_checkpoint(TRUNCATE)");
    std::filesystem::copy_file(sync.primary.path(), sync.path);
    sync.primary.commit("UPDATE t SET x='new' WHERE id=5");
    sync.whole_sync();
    CHECK(sync.pages_sent < 10);
    CHECK(sync.same());
}

TEST_CASE("sync: after a break only what is missing travels") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 4000, 3000));
    check_that_a_break_costs_nothing(sync);
}

TEST_CASE("sync: pages staged in a break and changed since are sent again") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 2000, 3000));
    sync.begin();
    sync.step();
    sync.primary.commit("UPDATE t SET x=randomblob(3000)");
    sync.begin();
    sync.run();
    sync.install();
    CHECK(sync.same());
}

TEST_CASE(
    "sync: pages are staged so that only their owner can read them, and then as SQLite does") {
    for (const bool sealed : {false, true}) {
        Sync sync;
        if (sealed) sync.seal(1);
        sync.primary.commit(blob_rows(1, 100, 3000));
        sync.begin();
        sync.run();
        for (const auto& file : std::filesystem::directory_iterator(sync.dir.path("base"))) {
            CHECK((stat_path(file.path().string())->mode & 0777) == 0600);
        }
        sync.install();
        CHECK(stat_path(sync.path)->mode == stat_path(sync.primary.path())->mode);
    }
}

TEST_CASE("sync: sealed pages show nothing, and become the same database, for every page size") {
    for (const char* size : {"512", "4096", "65536"}) {
        Sync sync(size);
        sync.seal(1);
        sync.primary.commit("INSERT INTO t VALUES (1, 'a secret sentence')");
        sync.primary.commit(blob_rows(2, 300, 3000));
        sync.begin();
        sync.run();
        CHECK_FALSE(sync.staging_shows("secret"));
        CHECK_FALSE(sync.staging_shows("SQLite format"));
        CHECK_FALSE(path_exists(sync.path));
        sync.install();
        CHECK(sync.same());
        CHECK_FALSE(path_exists(sync.dir.path("base/pages")));
        CHECK_FALSE(path_exists(sync.path + "-tanist-copy"));
    }
}

TEST_CASE(
    "sync: sealed pages update an existing replica, and after a break only the rest travels") {
    Sync sync;
    sync.seal(1);
    sync.primary.commit(blob_rows(1, 4000, 3000));
    sync.whole_sync();
    sync.primary.commit("UPDATE t SET x=randomblob(3000)");
    check_that_a_break_costs_nothing(sync);
}

TEST_CASE("sync: what was staged under another key, or unsealed, is thrown away and sent again") {
    for (const int key_before : {0, 2}) {
        Sync sync;
        if (key_before != 0) sync.seal(key_before);
        sync.primary.commit("INSERT INTO t VALUES (1, 'a secret sentence')");
        sync.primary.commit(blob_rows(2, 1000, 3000));
        sync.begin();
        sync.run();
        CHECK(sync.staging_shows("secret") == (key_before == 0));
        sync.seal(1);
        sync.begin();
        CHECK_FALSE(sync.staging_shows("secret"));
        sync.run();
        CHECK(sync.pages_sent >= sync.primary.db_pages());
        sync.install();
        CHECK(sync.same());
    }
}

TEST_CASE("staging: at a start, what was left in another form goes and one's own stays") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 100, 3000));
    for (const int key_before : {0, 2, 1}) {
        sync.form = StagedForm();
        if (key_before != 0) sync.seal(key_before);
        sync.begin();
        sync.run();
        sync.seal(1);
        Staging left(sync.dir.path("base"), sync.path, sync.form);
        REQUIRE(left.keep_own_form().ok());
        CHECK(path_exists(sync.dir.path("base/pages")) == (key_before == 1));
    }
}

TEST_CASE("sync: a sealed page that does not open is asked for again, alone") {
    Sync sync;
    sync.seal(1);
    sync.primary.commit(blob_rows(1, 1000, 3000));
    sync.begin();
    sync.run();
    sync.damage_sealed(7);
    sync.begin();
    sync.run();
    CHECK(sync.pages_sent == 1);
    sync.install();
    CHECK(sync.same());
}

// Behind the last look at the hashes nobody compares any more.
TEST_CASE("sync: a sealed page damaged before the install refuses it, and the next sync mends it") {
    for (const bool has_database : {false, true}) {
        Sync sync;
        sync.seal(1);
        sync.primary.commit(blob_rows(1, 1000, 3000));
        if (has_database) {
            sync.whole_sync();
            sync.primary.commit("UPDATE t SET x=randomblob(3000)");
        }
        sync.begin();
        sync.run();
        sync.damage_sealed(7);
        Result<LogPoint> end = sync.sink->install(*sync.reader, sync.primary.end().position.lsn,
                                                  sync.intent, sync.applier.get());
        REQUIRE_FALSE(end.ok());
        CHECK(end.error().code == Errc::corrupt);
        CHECK(path_exists(sync.path) == has_database);
        CHECK_FALSE(path_exists(sync.path + "-tanist-copy"));
        sync.whole_sync();
        CHECK(sync.same());
    }
}

TEST_CASE("sync: without room for a sealed copy nothing is lost, and with room it goes on") {
    Sync sync;
    sync.seal(1);
    sync.primary.commit(blob_rows(1, 1000, 3000));
    std::filesystem::create_directory(sync.dir.path("small"));
    sync.path = sync.dir.path("small/replica.db");
    auto disk = std::make_unique<SmallDisk>(sync.dir.path("small"), 1u << 20);
    if (!disk->is_mounted()) {
        MESSAGE("skipped: a small disk (needs the right to mount)");
        return;
    }
    sync.begin();
    sync.run();
    Result<LogPoint> end =
        sync.sink->install(*sync.reader, sync.primary.end().position.lsn, sync.intent, nullptr);
    REQUIRE_FALSE(end.ok());
    CHECK(end.error().code == Errc::no_space);
    CHECK(std::filesystem::is_empty(sync.dir.path("small")));
    disk.reset();
    sync.install();
    CHECK(sync.same());
}

// Between the rename and the end of the staging, and in the middle of the copy.
TEST_CASE("sync: a crash beside a sealed copy leaves nothing behind") {
    Sync sync;
    sync.seal(1);
    sync.primary.commit(blob_rows(1, 1000, 3000));
    sync.begin();
    sync.run();
    std::filesystem::copy(sync.dir.path("base"), sync.dir.path("kept"));
    sync.install();
    sync.applier.reset();
    sync.sink.reset();
    std::filesystem::remove_all(sync.dir.path("base"));
    std::filesystem::rename(sync.dir.path("kept"), sync.dir.path("base"));
    std::ofstream(sync.path + "-tanist-copy") << "half of a database";
    sync.primary.commit("UPDATE t SET x='new' WHERE id=5");
    sync.whole_sync();
    CHECK(sync.pages_sent < 10);
    CHECK(sync.same());
    CHECK_FALSE(path_exists(sync.path + "-tanist-copy"));
}

TEST_CASE("sync: another page size replaces the database") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 500, 3000));
    sync.whole_sync();
    sync.source.reset();
    sync.primary.db.must("PRAGMA journal_mode=DELETE");
    sync.primary.db.must("PRAGMA page_size=8192");
    sync.primary.db.must("VACUUM");
    sync.primary.db.must("PRAGMA journal_mode=WAL");
    sync.primary.mark(RecordKind::rebase);
    sync.primary.commit(blob_rows(5000, 1, 10));
    StockSqlite old(sync.path);
    CHECK(old.ask("SELECT count(*) FROM t") == "500");
    sync.begin();
    sync.run();
    sync.install();
    CHECK(sync.same());
}

TEST_CASE("sync: a rebase during the copy refuses the install") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 10, 300));
    sync.begin();
    sync.run();
    sync.primary.mark(RecordKind::rebase);
    Result<LogPoint> end =
        sync.sink->install(*sync.reader, sync.primary.end().position.lsn, sync.intent, nullptr);
    REQUIRE_FALSE(end.ok());
    CHECK(end.error().code == Errc::refused);
    CHECK_FALSE(path_exists(sync.path));
}

TEST_CASE("sync: pages that were not asked for are refused") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 10, 300));
    sync.begin();
    Bytes image(4096);
    SyncPages pages;
    pages.ask = 99;
    pages.pages = {1};
    pages.images = image;
    CHECK_FALSE(sync.sink->got(pages).ok());
    REQUIRE(sync.sink->next_ask()->has_value());
    pages.ask = 1;
    pages.pages = {0};
    CHECK_FALSE(sync.sink->got(pages).ok());
    pages.pages = {1000000};
    CHECK_FALSE(sync.sink->got(pages).ok());
    pages.pages = {1, 2};
    CHECK_FALSE(sync.sink->got(pages).ok());
}

TEST_CASE("page_source: an impossible ask is refused") {
    Sync sync;
    sync.primary.commit(blob_rows(1, 10, 300));
    sync.begin();
    auto nothing = [](uint32_t, bool, std::span<const uint32_t>, ByteView) { return true; };
    SyncAsk ask;
    ask.count = 1;
    CHECK_FALSE(sync.source->answer(ask, nothing).ok());
    ask.first = 1;
    ask.count = 1u << 30;
    CHECK_FALSE(sync.source->answer(ask, nothing).ok());
}
