// The inside of Capturer, in five parts: capturer.cc starts, stops and looks; capture_append.cc
// turns frames into records; capture_prepare.cc logs commits before they are visible and says how
// they ended; capture_tend.cc holds the pin and marks iChange; capture_restart.cc restarts the WAL.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "replicator/base/clock.h"
#include "replicator/capture/capture_rule.h"
#include "replicator/capture/capturer.h"
#include "replicator/capture/clean_stop.h"
#include "replicator/capture/frame_reader.h"
#include "replicator/capture/slot_lock.h"
#include "replicator/capture/wal_pin.h"

namespace tanist {

// A writer is between the two header copies for nanoseconds. When they disagree for this many looks
// in a row it died there, and SQLite must recover.
constexpr int kUnsettledLooksMax = 1000;
// From here on a restart is thought of: below SQLite's own limit of 1000, by more frames than a
// fast writer adds between two looks.
constexpr uint32_t kHoldFrames = 400;

using RawHeader = std::array<uint64_t, 6>;

struct Capturer::State {
    State(SqliteHandle& the_handle, SqliteHandle& the_checkpoints, Log& the_log,
          Control& the_control, CaptureOptions the_options)
        : handle(the_handle),
          checkpoints(the_checkpoints),
          log(the_log),
          control(the_control),
          options(std::move(the_options)),
          pin(the_handle),
          checkpoint_lock(the_handle),
          frames(the_handle) {
        checkpoints.share_exclusive_locks_of(handle);
    }

    // -- capturer.cc
    Status resume();
    Status resume_from_records(const WalIndexHeader& now);
    Status resume_from_control(LogReader& reader, Lsn known_lsn, const WalIndexHeader& now);
    ControlNotes read_begun() const;
    Result<std::optional<RecordHeader>> visible_record(LogReader& reader, RecordHeader record,
                                                       Lsn not_visible);
    Result<bool> resume_from_clean_stop(const WalIndexHeader& now);
    Status append_epoch_if_newer();
    Status append_epoch();
    Result<CaptureProgress> poll();
    Status look();             // captures and publishes, adding to `untold`
    Status look_until_even();  // until the wal-index has nothing that is not captured
    Status announce();
    bool nothing_new() const;
    RawHeader raw_header() const;
    Result<CleanStop> describe_stop(const WalPoint& wal);

    // -- capture_append.cc
    Result<bool> capture_up_to(const WalIndexHeader& now);  // false: the WAL moved; look again
    Result<CaptureDecision> decide(const WalIndexHeader& now);
    Result<bool> take_range(const WalIndexHeader& now, const CaptureDecision& decision);
    Status scan(uint32_t first, const WalIndexHeader& now);
    Status merge_padding(uint32_t page_bytes);
    Result<bool> append_commit(uint32_t first, const CommitMark& mark, uint32_t change,
                               const WalIndexHeader& now);
    Status load_ahead(uint32_t first, uint32_t last, uint32_t page_bytes);
    // The record's payload: frames first..last as `pages` selects them. False: `still_valid` said
    // that they changed meanwhile; nothing was appended.
    Result<bool> append_pages(RecordHeader record,
                              const std::function<Result<bool>()>& still_valid);
    void captured_commit(const WalPoint& wal, Lsn lsn);
    Status write_pages(uint32_t page_bytes, const std::function<Status(ByteView)>& sink);
    Status append_rebase(const WalIndexHeader& now, const std::string& reason);
    std::string describe_places(const WalIndexHeader& now) const;
    Result<RecordHeader> describe_database(const WalIndexHeader& now);
    Result<bool> still_there(const WalIndexHeader& taken);
    RecordHeader blank_record(RecordKind kind) const;
    void forget_clean_stop();

    // -- capture_prepare.cc
    Status tend_prepare();
    Status append_prepared(uint32_t word);
    // Whether the commit that became visible in frames first..mark is the prepared one; if so, it
    // needs no record, else the prepared one is taken back.
    Result<bool> adopt_prepared(uint32_t first, const CommitMark& mark, uint32_t change,
                                const WalIndexHeader& now);
    Result<bool> is_prepared(uint32_t first, const CommitMark& mark, const WalIndexHeader& now);
    // Whether the commit in frames first..last of the WAL has the record's content.
    Result<bool> has_content(const RecordHeader& record, uint32_t first, uint32_t last);
    Status sum_up_known(const WalIndexHeader& now, const WalChecksum& found);
    // Before the log goes on with anything else. False: not now, its writer may yet show it.
    Result<bool> end_prepared();
    Result<bool> refuse_granted();
    Status take_header_back(const WalIndexHeader& visible);
    // Requires: it was never visible, and never will be.
    Status take_back_prepared();
    void settle_slot();
    Status resolve_abandoned(Instant now);
    Status resolve_under_write_lock();
    bool slot_is_of(const RecordHeader& record) const;

    // -- capture_tend.cc
    Status tend_wal();
    Status take_pin_again();
    Status mark_change_when_quiet(Instant now);
    Status mark_now(WalIndexHeader header);
    void let_wal_go_when_log_is_full();
    uint64_t wal_bytes() const;
    Status close_cleanly();

    // -- capture_restart.cc
    Status restart_when_due(Instant now);
    Result<bool> restart_is_due(Instant now);
    bool shim_restarts(Instant now);
    void note_pace(Instant now);
    bool writer_is_fast(Instant now) const;
    Result<bool> hold_checkpoint(Instant now, const WalCheckpointInfo& info);
    Result<bool> restart(bool truncate, Nanos patience);
    Result<bool> write_back(uint32_t target);
    Result<bool> restart_without_readers(bool truncate);

    SqliteHandle& handle;
    SqliteHandle& checkpoints;
    Log& log;
    Control& control;
    CaptureOptions options;
    WalPin pin;
    SlotLock checkpoint_lock;  // CHECKPOINT, kept from others while a restart is prepared
    FrameReader frames;
    volatile void* index = nullptr;  // region 0 of the wal-index

    CapturePoint known;
    CapturedPoint announced;
    CaptureProgress untold;         // captured, and not yet returned by poll()
    std::string rebase_due;         // why; "" when continuity holds
    RawHeader seen{};               // the header for which nothing was left to do
    bool even = false;              // `seen` counts
    bool unpublished = false;       // records are finished and not yet visible to readers
    bool log_is_full = false;       // the last append found no space
    bool clean_stop_exists = true;  // until removed
    int unsettled_looks = 0;

    // The last record of the log, when it was prepared and how it ended is not logged yet.
    // Invariant: nothing follows it in the log but its ABORT, or what proves that it is visible.
    std::optional<RecordHeader> prepared;
    uint32_t prepare_seen = 0;  // the slot's word at the last look
    bool settle_due = false;    // as soon as what was appended is published
    // The record of `known`, and its first frame in the WAL, while its checksum is not known.
    std::optional<RecordHeader> unsummed;
    uint32_t unsummed_first = 0;
    Position settled;  // the last record that is settled; the log's end unless `prepared`
    Instant resolve_not_before;

    // The range being taken: page number of each frame from scan_first, and where commits end.
    uint32_t scan_first = 0;
    std::vector<uint32_t> pgnos;
    std::vector<CommitMark> commits;
    std::vector<FrameOfPage> pages;
    Bytes numbers;

    // Restarts.
    bool wal_is_let_go = false;  // the log was full for too long
    Instant shim_restarted_at;
    Instant presence_looked_at;
    bool shim_is_present = false;
    bool others_write_back = false;  // a program was seen to
    uint32_t paced_salt2 = 0;        // the WAL that the next two are of
    Instant wal_began_at;
    Instant wal_was_long_at;
    Instant waiters_seen_at;  // somebody who waits for a confirmation
    Instant checkpoint_held_since;
    uint32_t gave_up_at_frame = 0;
    Instant restartable_since;
    Instant restart_not_before;
    Nanos restart_backoff{0};
    Instant mark_not_before;
};

}  // namespace tanist
