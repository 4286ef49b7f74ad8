// What a crash leaves of a delta sync, at each of its steps, and what a start makes of it.
#include "replicator/node/unfinished_sync.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/sync/install_plan.h"
#include "replicator/sync/page_source.h"
#include "replicator/sync/sync_log.h"
#include "replicator/sync/sync_sink.h"
#include "tests/support/primary.h"

using namespace tanist;

namespace {

// How far the install came. `written`: the database is the sync's, the intent does not say so yet.
enum class Step { copied, planned, begun, written, done };

// A replica that has followed its primary up to `before`, and then copied what its log cannot lead
// to. Where it `replaces`, it had no database before.
struct HalfSynced {
    Primary primary;
    TempDir dir;
    Layout layout{dir.path("replica.db")};
    SyncLogFiles files{layout.log(), layout.base()};
    IntentFile intent;
    LogPoint before, base;
    std::unique_ptr<LogReader> reader = primary.log->reader();
    std::unique_ptr<Log> sync_log;
    std::unique_ptr<SyncSink> sink;
    bool replaces;

    explicit HalfSynced(bool replaces_it) : replaces(replaces_it) {
        REQUIRE(make_directory(layout.directory).ok());
        intent = IntentFile::open(layout.intent()).value();
        primary.commit("INSERT INTO t VALUES(1, randomblob(100000))");
        auto log = Log::create(layout.log(), group(), primary.end(), {}).value();
        if (!replaces) {
            copy_pages();
            REQUIRE(sink->install(*reader, primary.end().position.lsn, intent, nullptr).ok());
            primary.commit("INSERT INTO t VALUES(2, 'kept')");
            take_records(*log);
            auto applier = Applier::open(linked_sqlite(), layout.db, intent, *log->reader());
            REQUIRE((*applier)->apply(*log->reader(), log->end().position.lsn).ok());
        }
        before = log->end();
        primary.commit("UPDATE t SET x = randomblob(90000)");
        sync_log = files.begin(group(), primary.end(), {}).value();
        copy_pages();
        primary.commit("INSERT INTO t VALUES(3, 'after')");
        take_records(*sync_log);
    }
    GroupId group() const { return primary.log->group(); }
    void copy_pages() {
        auto source =
            SyncPageSource::open(SqliteHandle::open(linked_sqlite(), primary.path(), {}).value())
                .value();
        sink = SyncSink::open(linked_sqlite(), layout.db, layout.base(), {}).value();
        base = primary.end();
        REQUIRE(sink->begin({base.position, base.chain, 4096, primary.db_pages()}, nullptr).ok());
        while (auto ask = sink->next_ask().value()) {
            REQUIRE(source
                        ->answer(*ask,
                                 [&](uint32_t number, bool last, std::span<const uint32_t> pages,
                                     ByteView images) {
                                     SyncPages got{number, last, 4096, {}, images};
                                     got.pages.assign(pages.begin(), pages.end());
                                     return sink->got(got).ok();
                                 })
                        .ok());
        }
    }
    // What the primary has logged since.
    void take_records(Log& log) {
        for (Lsn lsn = log.end().position.lsn.next(); lsn <= primary.end().position.lsn;
             lsn = lsn.next()) {
            const RecordHeader header = reader->header_of(lsn).value();
            REQUIRE(log.begin(header.payload_bytes).ok());
            REQUIRE(log.write(reader->payload(header).value()).ok());
            REQUIRE(log.finish_received(header).ok());
        }
        REQUIRE(log.publish().ok());
        REQUIRE(log.sync().ok());
    }
    void crash_at(Step step) {
        const InstallPlan plan{base, primary.end(), 4096, primary.db_pages(), replaces};
        const Intent syncing{.target = primary.end(), .syncing = true};
        if (step >= Step::written || replaces) install_whole(step);
        if (!replaces && (step == Step::planned || step == Step::begun))
            REQUIRE(write_install_plan(layout.base(), plan).ok());
        if (step == Step::begun || step == Step::written) REQUIRE(intent.write(syncing, true).ok());
        sink.reset();
        sync_log.reset();
    }
    // What is staged is there until the intent says done, but for pages that were renamed.
    void install_whole(Step step) {
        namespace fs = std::filesystem;
        const std::string aside = dir.path("aside");
        fs::copy(layout.base(), aside);
        const Lsn end = primary.end().position.lsn;
        REQUIRE(sink->install(*sync_log->reader(), end, intent, nullptr).ok());
        if (step == Step::done || (replaces && step == Step::written)) return;
        fs::copy(aside, layout.base(),
                 fs::copy_options::overwrite_existing | fs::copy_options::recursive);
        if (replaces) fs::rename(layout.db, layout.base() + "/pages");
    }
    bool finished() {
        Result<bool> settled = settle_unfinished_sync(linked_sqlite(), layout, Settings{}, group());
        if (!settled.ok()) FAIL(settled.error().message);
        CHECK_FALSE(path_exists(files.path()));
        CHECK_FALSE(has_install_plan(layout.base()));
        return *settled;
    }
    LogPoint log_end() const { return Log::open(layout.log(), group(), {}).value()->end(); }
    std::string rows() const {
        return StockSqlite(layout.db).ask("SELECT group_concat(id) FROM t");
    }
    bool is_the_primary() {
        return StockSqlite(layout.db).ask("SELECT group_concat(quote(x)) FROM t") ==
                   primary.db.ask("SELECT group_concat(quote(x)) FROM t") &&
               StockSqlite(layout.db).ask("PRAGMA integrity_check") == "ok";
    }
    // The database is where its log ends, and both can go on from there.
    bool fits() {
        auto log = Log::open(layout.log(), group(), {}).value();
        auto applier = Applier::open(linked_sqlite(), layout.db, intent, *log->reader());
        return applier.ok() && (*applier)->applied() == log->end();
    }
};

void finishes_after(Step crash, bool first_copy) {
    HalfSynced replica(first_copy);
    replica.crash_at(crash);
    CHECK(replica.finished());
    CHECK(replica.log_end() == replica.primary.end());
    CHECK(replica.is_the_primary());
    CHECK(replica.fits());
}

}  // namespace

TEST_CASE("unfinished_sync: before the install begins, database and log are what they were") {
    for (const Step step : {Step::copied, Step::planned}) {
        HalfSynced replica(false);
        replica.crash_at(step);
        CHECK_FALSE(replica.finished());
        CHECK(replica.log_end() == replica.before);
        CHECK(replica.rows() == "1,2");
        CHECK(replica.fits());
    }
}

TEST_CASE("unfinished_sync: an install that was begun is finished, whatever of it was done") {
    for (const Step step : {Step::begun, Step::written, Step::done}) finishes_after(step, false);
}

TEST_CASE("unfinished_sync: a first copy becomes the database, before the crash or after") {
    for (const Step step : {Step::begun, Step::written, Step::done}) finishes_after(step, true);
}

// The next sync leads on; it is not guessed what the database is.
TEST_CASE("unfinished_sync: an install whose pages are gone is given up, and the intent says so") {
    HalfSynced replica(false);
    replica.crash_at(Step::begun);
    std::filesystem::remove(replica.layout.base() + "/pages");
    CHECK_FALSE(replica.finished());
    CHECK(replica.intent.read()->syncing);
    CHECK(replica.log_end() == replica.before);
}
