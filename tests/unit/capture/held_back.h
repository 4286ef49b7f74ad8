// Whoever holds back a commit of one page: what CommitWait does, without SQLite.
#pragma once

#include <array>
#include <memory>

#include "replicator/control/prepare_slot.h"
#include "tests/unit/capture/capture_fixture.h"

namespace tanist {

class HeldBack {
  public:
    HeldBack(Primary& primary, uint8_t content, Pgno page = Pgno(2))
        : p_(primary), page_(page), handle_(primary.open_handle()) {
        REQUIRE(handle_->lock(kLockWrite, 1, true).ok());
        before_ = **handle_->header();
        image_.assign(before_.page_bytes, content);
        frame_ = before_.max_frame + 1;
        const uint64_t at = wal_frame_offset(frame_, before_.page_bytes);
        REQUIRE(handle_->write_wal(at, kNoFrameHeader).ok());
        REQUIRE(handle_->write_wal(at + kWalFrameHeaderBytes, image_).ok());
        post();
    }
    ~HeldBack() { die(); }
    bool decide(PreparePhase phase) { return decide_commit(p_.control->prepare, word_, phase); }
    void publish() { publish_commit(p_.control->prepare, word_); }
    // Makes it visible, as SQLite does: a recovery would find it from here on...
    void write_header() {
        Bytes header(kWalFrameHeaderBytes);
        after_ = before_;
        encode_wal_frame_header(page_, after_.db_pages, after_.salt, after_.big_endian_checksums,
                                image_, after_.frame_checksum, header);
        REQUIRE(handle_->write_wal(wal_frame_offset(frame_, after_.page_bytes), header).ok());
    }
    // ...and readers do from here on.
    void write_index() {
        Result<volatile void*> region = handle_->region(0, true);
        REQUIRE(region.ok());
        REQUIRE(append_frame_page(*region, frame_, page_));
        after_.max_frame = frame_;
        after_.change += 1;
        write_wal_index_header(*region, after_);
    }
    void show() {
        write_header();
        write_index();
    }
    // As a writer does whose rule is met, to its end.
    void succeed() {
        REQUIRE(decide(PreparePhase::granted));
        show();
        publish();
        die();
    }
    // Granted, and then SQLite failed.
    void withdraw() {
        const uint64_t at = wal_frame_offset(frame_, before_.page_bytes);
        REQUIRE(handle_->write_wal(at, kNoFrameHeader).ok());
        withdraw_commit(p_.control->prepare, word_);
    }
    // Its locks go with a process.
    void die() {
        if (handle_) handle_->unlock(kLockWrite, 1, true);
        handle_.reset();
    }
    PreparePhase phase() const { return phase_of(p_.control->prepare.word.load()); }
    bool is_logged() const { return p_.control->prepare.logged_word.load() == word_; }

  private:
    static constexpr std::array<uint8_t, kWalFrameHeaderBytes> kNoFrameHeader{};

    void post() {
        HeldFrames frames;
        frames.salt1 = before_.salt.salt1;
        frames.salt2 = before_.salt.salt2;
        frames.first_frame = frames.last_frame = frame_;
        frames.pgno = page_.value;
        frames.db_pages = before_.db_pages;
        frames.page_bytes = before_.page_bytes;
        frames.change = before_.change + 1;
        word_ = post_commit(p_.control->prepare, frames);
    }
    Primary& p_;
    Pgno page_;
    std::unique_ptr<SqliteHandle> handle_;
    WalIndexHeader before_, after_;
    Bytes image_;
    uint32_t frame_ = 0;
    uint32_t word_ = 0;
};

}  // namespace tanist
