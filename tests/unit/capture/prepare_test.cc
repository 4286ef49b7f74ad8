// Commits that a writer holds back, as the engine sees them: the slot of the control block, frames
// in the WAL without the last header, SQLite's WRITE lock.
#include "replicator/capture/capturer.h"
#include "tests/unit/capture/held_back.h"

using namespace tanist;

namespace {

struct Prepared : Primary {
    Prepared() {
        start();
        {
            Stock app(path);
            app.run("INSERT INTO t VALUES(1, 'a')");
        }
        (void)poll();
        (void)poll();
        end = log->end().position.lsn;
    }
    void look(int times = 3) {
        for (int i = 0; i < times; ++i) (void)poll();
    }
    RecordKind last_kind() { return records().back().kind; }
    Lsn end;
};

}  // namespace

TEST_CASE("prepare: a held-back commit is logged, and not settled") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    CHECK(p.capturer->captured() == p.end.next());
    CHECK(p.capturer->committed() == p.end);
    CHECK(p.control->prepare.lsn.load() == p.end.next().value);
    CHECK(p.control->prepare.logged_word.load() == p.control->prepare.word.load());
    CHECK(p.records().back().page_count == 1);
}

TEST_CASE("prepare: one that becomes visible needs no other record") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    writer.decide(PreparePhase::granted);
    writer.show();
    p.look();
    CHECK(p.capturer->captured() == p.end.next());
    CHECK(p.capturer->committed() == p.end.next());
    CHECK(writer.phase() == PreparePhase::settled);
    CHECK(p.control.captured().position.lsn == p.end.next());
}

TEST_CASE("prepare: one that is refused is taken back by the next record, both settled at once") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    writer.decide(PreparePhase::refused);
    p.look();
    CHECK(p.last_kind() == RecordKind::abort);
    CHECK(p.records().back().subject == p.end.next());
    CHECK(p.capturer->committed() == p.end.next().next());
    CHECK(writer.phase() == PreparePhase::settled);
}

TEST_CASE("prepare: one that is refused before it was logged leaves no record") {
    Prepared p;
    HeldBack writer(p, 7);
    writer.decide(PreparePhase::refused);
    p.look();
    CHECK(p.capturer->captured() == p.end);
    CHECK(writer.phase() == PreparePhase::settled);
}

TEST_CASE("prepare: the engine settles what a killed writer leaves, once WRITE is free") {
    for (const PreparePhase phase : {PreparePhase::posted, PreparePhase::granted}) {
        Prepared p;
        HeldBack writer(p, 7);
        p.look();
        if (phase == PreparePhase::granted) writer.decide(phase);
        p.tend();
        CHECK(writer.phase() == phase);
        writer.die();
        while (writer.phase() != PreparePhase::settled) p.tend();
        CHECK(p.last_kind() == RecordKind::abort);
    }
}

TEST_CASE("prepare: what a killed writer leaves is settled under the lock of whoever has it") {
    for (const PreparePhase phase : {PreparePhase::posted, PreparePhase::granted}) {
        Prepared p;
        HeldBack writer(p, 7);
        p.look();
        if (phase == PreparePhase::granted) writer.decide(phase);
        writer.die();
        const std::unique_ptr<SqliteHandle> next = p.open_handle();
        REQUIRE(next->lock(kLockWrite, 1, true).ok());
        p.tend();
        CHECK(writer.phase() == phase);
        CHECK(p.capturer->settle_under_write_lock().ok());
        CHECK(writer.phase() == PreparePhase::settled);
        CHECK(p.last_kind() == RecordKind::abort);
        CHECK(p.capturer->committed() == p.capturer->captured());
        next->unlock(kLockWrite, 1, true);
    }
}

// A process without the extension knows nothing of the slot and takes the same frames.
TEST_CASE("prepare: other content in the same frames is another commit") {
    Prepared p;
    {
        HeldBack writer(p, 7);
        p.look();
    }
    Stock app(p.path);
    app.run("INSERT INTO t VALUES(2, 'b')");
    p.look();
    const std::vector<RecordHeader> records = p.records();
    CHECK(records[records.size() - 2].kind == RecordKind::abort);
    CHECK(records.back().kind == RecordKind::commit);
    CHECK(p.capturer->committed() == records.back().lsn);
}

TEST_CASE("prepare: the next engine finds it by the slot and goes on with the same LSN") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    p.crash();
    p.start();
    p.look();
    CHECK(p.capturer->captured() == p.end.next());
    CHECK(p.capturer->committed() == p.end);
    writer.decide(PreparePhase::granted);
    writer.show();
    writer.publish();
    p.look();
    CHECK(p.capturer->captured() == p.end.next());
    CHECK(p.capturer->committed() == p.end.next());
    CHECK(p.count(RecordKind::rebase) == 1);
}

TEST_CASE("prepare: an ABORT that a crash cut short is written by the next engine") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    p.crash();
    writer.decide(PreparePhase::refused);
    writer.die();
    p.start();
    p.look();
    CHECK(p.last_kind() == RecordKind::abort);
    CHECK(p.count(RecordKind::rebase) == 1);
    Stock app(p.path);
    app.run("INSERT INTO t VALUES(2, 'b')");
    p.look();
    CHECK(p.count(RecordKind::rebase) == 1);
}

TEST_CASE("prepare: after an ABORT the next engine knows where the WAL stands") {
    Prepared p;
    {
        HeldBack writer(p, 7);
        p.look();
        writer.decide(PreparePhase::refused);
        p.look();
    }
    p.crash();
    p.start();
    p.look();
    Stock app(p.path);
    app.run("INSERT INTO t VALUES(2, 'b')");
    p.look();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.last_kind() == RecordKind::commit);
}

// Its header was withheld without a checksum, because SQLite sums a rewritten transaction up later.
TEST_CASE("prepare: a commit without a checksum in the log is known by its content") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    writer.decide(PreparePhase::granted);
    writer.show();
    p.look();
    REQUIRE(p.records().back().wal.checksum_a == 0);
    p.crash();
    writer.die();
    p.start();
    p.look();
    CHECK(p.count(RecordKind::rebase) == 1);
    CHECK(p.capturer->committed() == p.end.next());
}

TEST_CASE("prepare: what its writer has published is never taken back, not at a gap either") {
    Prepared p;
    Stock(p.path).run("CREATE TABLE other(x)");
    p.look();
    HeldBack writer(p, 7);
    p.look();
    p.crash();
    writer.succeed();
    Stock(p.path).run("PRAGMA wal_checkpoint(TRUNCATE)");
    Stock(p.path).run("INSERT INTO other VALUES(1)");
    p.start();
    p.look();
    CHECK(p.count(RecordKind::rebase) == 2);
    CHECK(p.count(RecordKind::abort) == 0);
    CHECK(writer.phase() == PreparePhase::settled);
}

TEST_CASE("prepare: a new epoch keeps the commit that was published before it") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    p.crash();
    writer.succeed();
    p.options.epoch = Epoch(2);
    p.start();
    p.look();
    CHECK(p.count(RecordKind::abort) == 0);
    CHECK(p.last_kind() == RecordKind::epoch);
    CHECK(p.capturer->committed() == p.end.next().next());
}

TEST_CASE("prepare: a new epoch does not begin beside a writer that was granted its commit") {
    Prepared p;
    HeldBack writer(p, 7);
    p.look();
    p.crash();
    writer.decide(PreparePhase::granted);
    p.options.epoch = Epoch(2);
    p.handle = p.open_handle();
    p.checkpoints = p.open_handle();
    p.open_log();
    Result<std::unique_ptr<Capturer>> early =
        Capturer::start(*p.handle, *p.checkpoints, *p.log, p.control, p.options);
    REQUIRE_FALSE(early.ok());
    CHECK(early.error().code == Errc::busy);
    writer.die();
    p.start_capture();
    CHECK(p.count(RecordKind::abort) == 1);
}

// A WAL that is gone says nothing about where the database stands in its log.
TEST_CASE("capturer: an orderly stop has the whole log on the disk before the WAL is truncated") {
    Prepared p;
    Stock(p.path).run("INSERT INTO t VALUES(2, 'b')");
    p.look();
    REQUIRE(p.capturer->close_cleanly().ok());
    CHECK(p.header().max_frame == 0);
    Result<std::optional<LogSync>> left = p.log->begin_sync(true);
    REQUIRE(left.ok());
    CHECK_FALSE(left->has_value());
}
