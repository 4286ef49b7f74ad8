// Commits that a writer holds back, as the engine sees them: the slot of the control block, frames
// in the WAL without the last header, SQLite's WRITE lock.
#include <array>

#include "replicator/capture/capturer.h"
#include "tests/unit/capture/capture_fixture.h"

using namespace tanist;

namespace {

// Whoever holds back a commit of one page: what CommitWait does, without SQLite.
class HeldBack {
  public:
    HeldBack(Primary& primary, uint8_t content) : p_(primary), handle_(primary.open_handle()) {
        REQUIRE(handle_->lock(kLockWrite, 1, true).ok());
        before_ = **handle_->header();
        image_.assign(before_.page_bytes, content);
        frame_ = before_.max_frame + 1;
        const uint64_t at = wal_frame_offset(frame_, before_.page_bytes);
        REQUIRE(handle_->write_wal(at, std::array<uint8_t, kWalFrameHeaderBytes>{}).ok());
        REQUIRE(handle_->write_wal(at + kWalFrameHeaderBytes, image_).ok());
        post();
    }
    ~HeldBack() { die(); }
    void decide(PreparePhase phase) { p_.control->prepare.word.store(with_phase(word_, phase)); }
    // Makes it visible, as SQLite does.
    void show() {
        Bytes header(kWalFrameHeaderBytes);
        WalIndexHeader now = before_;
        encode_wal_frame_header(Pgno(2), now.db_pages, now.salt, now.big_endian_checksums, image_,
                                now.frame_checksum, header);
        REQUIRE(handle_->write_wal(wal_frame_offset(frame_, now.page_bytes), header).ok());
        Result<volatile void*> region = handle_->region(0, true);
        REQUIRE(region.ok());
        REQUIRE(append_frame_page(*region, frame_, Pgno(2)));
        now.max_frame = frame_;
        now.change += 1;
        write_wal_index_header(*region, now);
    }
    // Its locks go with a process.
    void die() {
        if (handle_) handle_->unlock(kLockWrite, 1, true);
        handle_.reset();
    }
    PreparePhase phase() const { return phase_of(p_.control->prepare.word.load()); }

  private:
    void post() {
        ControlPrepare& slot = p_.control->prepare;
        slot.salt1.store(before_.salt.salt1);
        slot.salt2.store(before_.salt.salt2);
        slot.first_frame.store(frame_);
        slot.last_frame.store(frame_);
        slot.pgno.store(2);
        slot.db_pages.store(before_.db_pages);
        slot.page_bytes.store(before_.page_bytes);
        slot.change.store(before_.change + 1);
        word_ = with_phase(slot.word.load() + kPrepareAttempt, PreparePhase::posted);
        slot.word.store(word_);
    }
    Primary& p_;
    std::unique_ptr<SqliteHandle> handle_;
    WalIndexHeader before_;
    Bytes image_;
    uint32_t frame_ = 0;
    uint32_t word_ = 0;
};

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
        writer.decide(phase);
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
        writer.decide(phase);
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
    writer.decide(PreparePhase::published);
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
