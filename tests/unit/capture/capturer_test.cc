#include <atomic>
#include <thread>
#include <utility>

#include "replicator/capture/capture_rule.h"
#include "tests/unit/capture/capture_fixture.h"

namespace tanist {
namespace {

std::string insert(int k, const std::string& v = "randomblob(100)") {
    return "INSERT OR REPLACE INTO t VALUES(" + std::to_string(k) + "," + v + ")";
}

TEST_CASE("capturer: the first record of a log is a rebase") {
    Primary p;
    p.start();
    REQUIRE(p.records().size() == 1);
    CHECK(p.records()[0].kind == RecordKind::rebase);
    CHECK(p.records()[0].db_pages == p.base.size() / 4096);
    CHECK(p.poll().rebased);
    CHECK_FALSE(p.poll().rebased);
}

TEST_CASE("capturer: a commit is one record with its pages") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    CHECK(p.poll().commits == 1);
    CHECK(p.poll().commits == 0);
    CHECK(p.records().back().kind == RecordKind::commit);
    CHECK(p.log_equals_database());
    CHECK(p.control.captured().position == p.log->end().position);
}

TEST_CASE("capturer: commits between two polls are split exactly") {
    Primary p;
    Stock app(p.path);
    p.start();
    for (int k = 1; k <= 10; ++k) app.run(insert(k));
    const Lsn before = p.capturer->captured();
    (void)p.poll();
    CHECK(p.capturer->captured().value == before.value + 10);
    for (uint64_t k = 1; k <= 10; ++k) {
        CHECK(p.replay(Lsn(before.value + k)).number("SELECT count(*) FROM t") == int64_t(k));
    }
}

TEST_CASE("capturer: a rolled-back transaction leaves no record") {
    Primary p;
    Stock app(p.path);
    p.start();
    (void)p.poll();
    app.run("BEGIN; " + insert(1) + "; ROLLBACK");
    CHECK(p.poll().commits == 0);
}

TEST_CASE("capturer: a transaction that spills the cache and rewrites frames is one commit") {
    Primary p;
    Stock app(p.path);
    p.start();
    (void)p.poll();
    app.run("PRAGMA cache_size=2; PRAGMA cache_spill=1; BEGIN");
    for (int k = 1; k <= 300; ++k) app.run(insert(k, "randomblob(2000)"));
    app.run("UPDATE t SET v=randomblob(1500) WHERE k%3=0");
    CHECK(p.poll().commits == 0);
    app.run("COMMIT");
    CHECK(p.poll().commits == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: savepoints rolled back after a spill leave nothing behind") {
    Primary p;
    Stock app(p.path);
    p.start();
    (void)p.poll();
    app.run("PRAGMA cache_size=2; BEGIN; " + insert(1));
    for (int round = 0; round < 5; ++round) {
        app.run("SAVEPOINT s");
        for (int k = 2; k <= 100; ++k) app.run(insert(k, "randomblob(2000)"));
        app.run(round % 2 == 0 ? "ROLLBACK TO s; RELEASE s" : "RELEASE s");
    }
    app.run("COMMIT");
    app.run(insert(500));
    CHECK(p.poll().commits == 2);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: VACUUM and a shrinking database are captured") {
    Primary p;
    Stock app(p.path);
    p.start();
    for (int k = 1; k <= 200; ++k) app.run(insert(k, "randomblob(3000)"));
    (void)p.poll();
    app.run("DELETE FROM t WHERE k>20; VACUUM");
    CHECK(p.poll().commits == 2);
    CHECK(p.log_equals_database());
    CHECK(p.replay().number("SELECT count(*) FROM t") == 20);
}

TEST_CASE("capturer: page sizes from 512 to 65536") {
    for (const uint32_t page_bytes : {512u, 4096u, 65536u}) {
        CAPTURE(page_bytes);
        Primary p(page_bytes);
        Stock app(p.path);
        app.run("PRAGMA cache_size=3");
        p.start();
        for (int k = 1; k <= 150; ++k) {
            app.run("BEGIN; " + insert(k, "randomblob(5000)") + "; " + insert(k + 1000) +
                    "; COMMIT");
            if (k % 20 == 0) (void)p.poll();
        }
        (void)p.poll();
        CHECK(p.count(RecordKind::commit) == 150);
        CHECK(p.records().back().page_bytes == page_bytes);
        CHECK(p.log_equals_database());
    }
}

// A writer killed between its commit frame and the header leaves a frame that nobody ever sees.
TEST_CASE("capturer: a valid commit frame that the wal-index does not have is no commit") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    (void)p.poll();
    const WalIndexHeader now = p.header();
    WalChecksum running = now.frame_checksum;
    Bytes frame(kWalFrameHeaderBytes + 4096, 0xee);
    encode_wal_frame_header(Pgno(2), 2, now.salt, now.big_endian_checksums,
                            ByteView(frame).subspan(kWalFrameHeaderBytes), running,
                            MutableBytes(frame).first(kWalFrameHeaderBytes));
    REQUIRE(p.handle->write_wal(wal_frame_offset(now.max_frame + 1, 4096), frame).ok());
    CHECK(p.poll().commits == 0);
    app.run(insert(2));
    CHECK(p.poll().commits == 1);
    CHECK(p.log_equals_database());
}

// SQLite up to 3.49.2 leaves such frames after a savepoint rollback.
TEST_CASE("capturer: a commit frame with zero salt and checksum is captured") {
    Primary p;
    Stock app(p.path);
    p.start();
    (void)p.poll();
    app.run(insert(1));
    const Bytes zeros(16, 0);
    REQUIRE(p.handle->write_wal(wal_frame_offset(p.header().max_frame, 4096) + 8, zeros).ok());
    CHECK(p.poll().commits == 1);
    app.run(insert(2));
    CHECK(p.poll().commits == 1);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: commit frames repeated as sector padding are one commit") {
    Primary p(512);
    sqlite3* db = nullptr;
    const std::string uri = "file:" + p.path + "?psow=0";
    REQUIRE(sqlite3_open_v2(uri.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, nullptr) ==
            SQLITE_OK);
    sqlite3_exec(db, "PRAGMA synchronous=FULL", nullptr, nullptr, nullptr);
    p.start();
    (void)p.poll();
    const uint32_t frames = p.header().max_frame;
    sqlite3_exec(db, insert(1).c_str(), nullptr, nullptr, nullptr);
    sqlite3_exec(db, insert(2).c_str(), nullptr, nullptr, nullptr);
    CHECK(p.header().max_frame > frames + 4);  // padding was written
    CHECK(p.poll().commits == 2);
    CHECK(p.count(RecordKind::rebase) == 1);
    sqlite3_close(db);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: the pin holds back a restart and lets checkpoints finish") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    const WalSalt salt = p.header().salt;
    app.run("PRAGMA busy_timeout=0");
    CHECK(app.number("PRAGMA wal_checkpoint(RESTART)") == 1);  // busy
    CHECK(p.handle->checkpoint_info()->backfilled == p.header().max_frame);
    app.run(insert(2));
    CHECK(p.header().salt == salt);
    CHECK(p.poll().commits == 2);
}

TEST_CASE("capturer: the engine restarts a long WAL that is written back") {
    Primary p;
    Stock app(p.path);
    p.start();
    for (int k = 1; k <= 1200; ++k) app.run(insert(k));
    (void)p.poll();
    const WalSalt salt = p.header().salt;
    app.number("PRAGMA wal_checkpoint(PASSIVE)");
    p.tend();
    CHECK(p.header().max_frame == 0);
    CHECK(p.header().salt != salt);
    app.run(insert(2000));
    app.run(insert(2001));
    CHECK(p.poll().commits == 2);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
    app.run("PRAGMA busy_timeout=0");
    CHECK(app.number("PRAGMA wal_checkpoint(RESTART)") == 1);  // the pin is back
}

// As long as the pin holds its WAL it would write back after each commit, with two fsyncs.
TEST_CASE("capturer: a stock writer is kept from writing back until the WAL begins anew") {
    Primary p;
    Stock app(p.path);
    p.start();
    int k = 0;
    while (p.handle->checkpoint_info()->backfilled == 0) app.run(insert(++k));
    (void)p.poll();
    p.tend();
    REQUIRE(p.header().max_frame == 0);
    while (p.header().max_frame < 500) app.run(insert(++k));
    const WalSalt salt = p.header().salt;
    (void)p.poll();
    p.tend();
    CHECK(p.capturer->restless());
    CHECK(app.number("PRAGMA wal_checkpoint(PASSIVE)") == 1);  // busy
    CHECK(p.handle->checkpoint_info()->backfilled == 0);
    while (p.header().salt == salt && p.header().max_frame < 10'000) {
        app.run(insert(++k));
        (void)p.poll();
        p.tend();
    }
    CHECK(p.header().max_frame == 0);
    CHECK_FALSE(p.capturer->restless());
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

// A WAL of 500 frames of a program that loads the extension and was seen to write back. They come
// before the engine looks: nothing is faster.
void write_fast(Primary& p, Stock& app) {
    int k = 0;
    while (p.handle->checkpoint_info()->backfilled == 0) app.run(insert(++k));
    (void)p.poll();
    p.tend();
    REQUIRE(p.header().max_frame == 0);
    while (p.header().max_frame < 500) app.run(insert(++k));
    (void)p.poll();
}

TEST_CASE("capturer: a fast writer with the extension is spared the write-back, too") {
    Primary p;
    Result<Control> extension = Control::open(p.dir.path("control"), false, true);
    REQUIRE(extension.ok());
    Stock app(p.path);
    p.start();
    write_fast(p, app);
    p.tend();
    CHECK(p.capturer->restless());
    CHECK(app.number("PRAGMA wal_checkpoint(PASSIVE)") == 1);  // busy
    CHECK(p.handle->checkpoint_info()->backfilled == 0);
    CHECK(p.count(RecordKind::rebase) == 1);
}

// Capture has more urgent work then.
TEST_CASE("capturer: with the extension a program whose commits wait for replicas writes back") {
    Primary p;
    Result<Control> extension = Control::open(p.dir.path("control"), false, true);
    REQUIRE(extension.ok());
    Stock app(p.path);
    p.start();
    write_fast(p, app);
    p.control->ack_waiters.fetch_add(1);
    p.tend();
    CHECK_FALSE(p.capturer->restless());
    CHECK(app.number("PRAGMA wal_checkpoint(PASSIVE)") == 0);
    CHECK(p.handle->checkpoint_info()->backfilled == p.header().max_frame);
}

// A program that is its database's only writer has no reason to know SQLITE_BUSY.
TEST_CASE("capturer: a stock writer without a busy timeout goes on while the WAL is restarted") {
    Primary p;
    p.start();
    std::atomic<int> refused{0};
    std::atomic<bool> done{false};
    std::atomic<int> restarts{0};
    std::thread writer([&] {
        Stock app(p.path);
        sqlite3_busy_timeout(app.db(), 0);
        // How soon two restarts have come depends on what else the machine does.
        for (int k = 1; k <= 8000 || (restarts < 2 && k <= 300'000); ++k) {
            refused += app.try_run(insert(k % 500)) != SQLITE_OK;
        }
        done = true;
    });
    for (uint32_t salt = p.control.captured().salt1; !done;) {
        (void)p.poll();
        p.tend();
        const uint32_t now = p.control.captured().salt1;
        restarts += now != std::exchange(salt, now);
    }
    writer.join();
    (void)p.poll();
    CHECK(refused == 0);
    CHECK(restarts > 1);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

// It would fail with SQLITE_BUSY_SNAPSHOT although no other writer exists.
TEST_CASE("capturer: an open transaction that has read can still write after tend_wal") {
    Primary p;
    Stock app(p.path);
    p.start();
    for (int k = 1; k <= 1200; ++k) app.run(insert(k));
    app.number("PRAGMA wal_checkpoint(PASSIVE)");
    (void)p.poll();
    app.run("BEGIN; SELECT count(*) FROM t");
    p.tend();
    app.run(insert(3000) + "; COMMIT");
    CHECK(p.poll().commits == 1);
}

TEST_CASE("capturer: the WAL stays near its bound when nobody checkpoints") {
    Primary p;
    p.options.wal_bytes_max = 256u << 10;
    Stock app(p.path);
    app.run("PRAGMA wal_autocheckpoint=0");
    p.start();
    uint32_t longest = 0;
    for (int k = 1; k <= 600; ++k) {
        app.run(insert(k, "randomblob(3000)"));
        (void)p.poll();
        p.tend();
        longest = std::max(longest, p.header().max_frame);
    }
    CHECK(longest < 2 * (256u << 10) / 4096);
    CHECK(p.count(RecordKind::commit) == 600);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: after a crash it goes on without loss or repetition") {
    Primary p;
    Stock app(p.path);
    p.start();
    for (int k = 1; k <= 30; ++k) {
        app.run(insert(k));
        if (k % 3 == 0) (void)p.poll();
        if (k % 7 == 0) {
            p.crash();
            app.run(insert(1000 + k));
            p.start();
        }
    }
    (void)p.poll();
    CHECK(p.count(RecordKind::commit) == 34);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: it goes on when SQLite recovered the WAL meanwhile") {
    Primary p;
    p.start();
    {
        Stock app(p.path);
        app.run(insert(1));
        (void)p.poll();
        app.run(insert(2));
    }
    p.crash();  // the last connection: the next one recovers
    p.start();
    CHECK(p.count(RecordKind::commit) == 2);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: a recovery under its eyes loses nothing") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    (void)p.poll();
    app.run(insert(2));
    p.break_header();
    CHECK(p.poll().commits == 0);
    app.run(insert(3));
    CHECK(p.header().change < kChangeMark);
    CHECK(p.poll().commits == 2);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: a WAL reset while nobody captured is a gap") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    (void)p.poll();
    p.crash();
    app.run(insert(2));
    CHECK(app.number("PRAGMA wal_checkpoint(TRUNCATE)") == 0);
    app.run(insert(3));
    p.start();
    const CaptureProgress progress = p.poll();
    CHECK(progress.rebased);
    CHECK_FALSE(progress.reason.empty());
    CHECK(p.count(RecordKind::rebase) == 2);
    CHECK(p.records().back().wal.frame == p.header().max_frame);
}

// Nothing was committed in the old WAL after the crash, and the marked iChange proves it.
TEST_CASE("capturer: a WAL restarted right after a crash is continued") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    (void)p.poll();
    p.crash();
    CHECK(app.number("PRAGMA wal_checkpoint(TRUNCATE)") == 0);
    app.run(insert(2));
    p.start();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.count(RecordKind::commit) == 2);
    CHECK(p.log_equals_database());
}

// The log's last record is older than the mark; only the control block has it.
TEST_CASE("capturer: a WAL restarted after a mark that no record has is continued") {
    Primary p;
    Stock app(p.path);
    app.run(insert(1));
    p.start();
    REQUIRE_FALSE(is_marked(p.records().back().wal.change));
    REQUIRE(is_marked(p.header().change));
    p.crash();
    CHECK(app.number("PRAGMA wal_checkpoint(TRUNCATE)") == 0);
    app.run(insert(2));
    p.start();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.count(RecordKind::commit) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: a restart of its own that no record has is continued") {
    Primary p;
    Stock app(p.path);
    app.run("PRAGMA wal_autocheckpoint=0");
    for (int k = 1; k <= 1200; ++k) app.run(insert(k));
    app.number("PRAGMA wal_checkpoint(PASSIVE)");
    app.run("BEGIN; SELECT * FROM t LIMIT 1");
    p.start();
    app.run("COMMIT");
    REQUIRE_FALSE(is_marked(p.header().change));
    p.tend();
    REQUIRE(p.header().max_frame == 0);
    p.crash();
    app.run(insert(2000));
    p.start();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.count(RecordKind::commit) == 1);
    CHECK(p.log_equals_database());
}

// The restart is in the wal-index, and not announced; the mark of iChange does not outlive the
// recovery.
TEST_CASE("capturer: a restart of its own that a crash cut short is continued, also if recovered") {
    Primary p;
    Stock app(p.path);
    app.run("PRAGMA wal_autocheckpoint=0");
    app.run(insert(8000));
    // A connection that has never restarted a WAL would give this one salts of its own.
    app.number("PRAGMA wal_checkpoint(TRUNCATE)");
    for (int k = 1; k <= 1200; ++k) app.run(insert(k));
    app.number("PRAGMA wal_checkpoint(PASSIVE)");
    p.start();
    REQUIRE(is_marked(p.header().change));
    const CapturedPoint announced = p.control.captured();
    p.tend();
    REQUIRE(p.header().max_frame == 0);
    p.control.set_captured(announced);
    p.crash();
    app.run(insert(9000));
    p.break_header();
    app.run(insert(9001));
    p.start();
    REQUIRE_FALSE(is_marked(p.records().back().wal.change));
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: a clean stop lets the WAL be deleted without a rebase") {
    Primary p;
    p.start();
    {
        Stock app(p.path);
        app.run(insert(1));
        (void)p.poll();
        p.stop_cleanly();
        CHECK(app.number("SELECT count(*) FROM t") == 1);
    }
    CHECK_FALSE(path_exists(p.path + "-wal"));
    p.start();
    Stock app(p.path);
    app.run(insert(2));
    (void)p.poll();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.count(RecordKind::commit) == 2);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: commits after a clean stop are captured from a new WAL") {
    Primary p;
    p.start();
    {
        Stock app(p.path);
        app.run(insert(1));
        p.stop_cleanly();
    }
    Stock app(p.path);
    app.run(insert(2));
    app.run(insert(3));
    p.start();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.count(RecordKind::commit) == 3);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: a database written back after a clean stop is a gap") {
    Primary p;
    p.start();
    p.stop_cleanly();
    {
        Stock app(p.path);
        app.run(insert(1));
    }
    p.start();
    CHECK(p.count(RecordKind::rebase) == 2);
}

TEST_CASE("capturer: a newer epoch is recorded and capture goes on") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    p.stop_cleanly();
    p.options.epoch = Epoch(2);
    p.start();
    CHECK(p.records().back().kind == RecordKind::epoch);
    p.crash();
    p.start();
    app.run(insert(2));
    (void)p.poll();
    CHECK(p.records().back().epoch == Epoch(2));
    CHECK(p.count(RecordKind::epoch) == 1);
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: a promoted node goes on from the end of the log it has") {
    Primary p;
    Stock app(p.path);
    p.start();
    app.run(insert(1));
    (void)p.poll();
    p.crash();
    CHECK(app.number("PRAGMA wal_checkpoint(TRUNCATE)") == 0);
    p.options.epoch = Epoch(2);
    p.options.database_is_at_log_end = true;
    p.start();
    app.run(insert(2));
    (void)p.poll();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.log_equals_database());
}

TEST_CASE("capturer: a changed page size is a gap") {
    Primary p;
    p.start();
    p.stop_cleanly();
    {
        Stock app(p.path);
        app.run("PRAGMA journal_mode=DELETE; PRAGMA page_size=8192; VACUUM");
        app.run("PRAGMA journal_mode=WAL");
    }
    p.start();
    CHECK(p.count(RecordKind::rebase) == 2);
    CHECK(p.records().back().page_bytes == 8192);
}

}  // namespace
}  // namespace tanist
