#include <algorithm>

#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/capture/capture_state.h"
#include "replicator/capture/engine_writes.h"

namespace tanist {

namespace {

using namespace std::chrono_literals;

// SQLite's own checkpoint habit: from here on every commit writes back and the next may restart.
constexpr uint32_t kRestartFrames = 1000;
constexpr uint32_t kLongForShimFrames = 4000;
constexpr uint32_t kCheckpointBeforeLockFrames = 256;
constexpr auto kShimIsActiveFor = 2s;
constexpr auto kPresenceEvery = 100ms;
constexpr auto kLeaveToShimFor = 5ms;
constexpr Nanos kRestartBackoffMin = 2ms;
constexpr Nanos kRestartBackoffMax = 50ms;
constexpr auto kMarkAgainAfter = 100ms;
// For a lock that is free for moments only. Once the WAL is beyond its bound it is worth waiting.
constexpr Nanos kLockPatience = 1ms;
constexpr Nanos kBrakePatience = 5ms;
constexpr Nanos kLockPatienceBeyondBound = 5ms;
constexpr Nanos kRestartBackoffBeyondBound = 20ms;
// For a checkpointer that is in the middle of the same work, and how often it is looked at.
constexpr Nanos kBackfillPatience = 20ms;
constexpr Nanos kCheckpointerLook = 50us;
constexpr Nanos kLockPatienceAtStop = 100ms;
constexpr uint64_t kLetGoFactor = 4;
constexpr uint64_t kImpoliteFactor = 2;
// Coarser than any file system's clock: a later write has another time.
constexpr int64_t kFileClockNs = 20'000'000;

// An exclusive lock on slots for the length of a scope.
class SlotLock {
  public:
    explicit SlotLock(SqliteHandle& handle) : handle_(handle) {}
    ~SlotLock() { give(); }
    void give() {
        if (count_ != 0) handle_.unlock(first_, count_, true);
        count_ = 0;
    }
    bool held() const { return count_ != 0; }
    SlotLock(const SlotLock&) = delete;
    SlotLock& operator=(const SlotLock&) = delete;
    // Tries until `deadline`; at least once. A holder in another process cannot be waited for in
    // any other way.
    Result<bool> take_before(Instant deadline, int first, int count) {
        for (;;) {
            Result<bool> taken = take(first, count);
            if (!taken || *taken || boot_now() >= deadline) return taken;
        }
    }
    // False: somebody holds it.
    Result<bool> take(int first, int count) {
        Status locked = handle_.lock(first, count, true);
        if (locked.ok()) {
            first_ = first;
            count_ = count;
            return true;
        }
        if (locked.error().code == Errc::busy) return false;
        return std::move(locked).error();
    }

  private:
    SqliteHandle& handle_;
    int first_ = 0;
    int count_ = 0;
};

// Slots READ1 to READ4 but for the pin's. Whoever holds them all is alone: nobody reads from the
// WAL, and a writer has a READ slot before it asks for WRITE. To begin a transaction SQLite then
// tries again and again by itself, without ever saying SQLITE_BUSY.
class ReaderSlots {
  public:
    ReaderSlots(SqliteHandle& handle, int pin_slot)
        : below_(handle), above_(handle), pin_slot_(pin_slot) {}

    Result<bool> take_before(Instant deadline) {
        for (;;) {
            Result<bool> taken = take();
            if (!taken || *taken || boot_now() >= deadline) return taken;
        }
    }

  private:
    Result<bool> take() {
        Result<bool> taken = below_.take(lock_read(1), pin_slot_ - 1);
        if (!taken || !*taken) return taken;
        const int left = kReadMarks - 1 - pin_slot_;
        if (left > 0) taken = above_.take(lock_read(pin_slot_ + 1), left);
        if (!taken || !*taken) below_.give();
        return taken;
    }

    SlotLock below_;
    SlotLock above_;
    int pin_slot_;
};

}  // namespace

uint64_t Capturer::State::wal_bytes() const {
    if (known.wal.frame == 0) return 0;
    return wal_frame_offset(known.wal.frame + 1, known.page_bytes);
}

Status Capturer::State::tend_wal() {
    TANIST_TRY(resolve_abandoned(boot_now()));
    const bool long_wal = known.wal.frame >= kRestartFrames || wal_bytes() > options.wal_bytes_max;
    const bool unmarked = !is_marked(known.wal.change);
    if (pin.held() && !long_wal && !unmarked && !log_is_full) return ok_status();
    const Instant now = boot_now();
    if (!pin.held() && !wal_is_let_go) TANIST_TRY(take_pin_again());
    // While a commit is held back its place in the WAL must stay what it is.
    if (prepared) return ok_status();
    if (log_is_full) {
        let_wal_go_when_log_is_full();
        return ok_status();
    }
    if (!pin.held() || !even) return ok_status();
    if (long_wal) TANIST_TRY(restart_when_due(now));
    if (unmarked) TANIST_TRY(mark_change_when_quiet(now));
    return ok_status();
}

Status Capturer::State::take_pin_again() {
    Status taken = pin.take();
    if (!taken && taken.error().code == Errc::busy) return ok_status();
    TANIST_TRY(std::move(taken));
    // Commits made while the pin was away are safe from now on; whether all are there, look() says.
    even = false;
    return look();
}

// A log that takes nothing must not fill the application's disk with WAL.
void Capturer::State::let_wal_go_when_log_is_full() {
    const std::optional<WalIndexHeader> now = read_wal_index_header(index);
    if (!now || wal_is_let_go || now->max_frame == 0) return;
    if (wal_frame_offset(now->max_frame + 1, now->page_bytes) <=
        kLetGoFactor * options.wal_bytes_max) {
        return;
    }
    pin.let_go();
    wal_is_let_go = true;
    rebase_due = "the log had no space for so long that the WAL outgrew its bound";
    note(NoteLevel::error, "capture is suspended",
         {{"database", handle.path()}, {"reason", rebase_due}});
}

// Whether to leave a restart to the extension, which does it for nothing.
bool Capturer::State::shim_restarts(Instant now) {
    if (shim_restarted_at.ns != 0 && now - shim_restarted_at < kShimIsActiveFor) return true;
    if (now - presence_looked_at > kPresenceEvery) {
        presence_looked_at = now;
        shim_is_present = !control.nobody_present();
    }
    return shim_is_present && known.wal.frame < kLongForShimFrames;
}

bool Capturer::State::restart_is_due(Instant now) {
    const WalCheckpointInfo info = read_checkpoint_info(index);
    const uint32_t max_frame = known.wal.frame;
    if (info.backfilled > max_frame) {
        // Seen only while SQLite's WAL-reset bug strikes, or for the moment of a foreign restart.
        return false;
    }
    if (wal_bytes() > options.wal_bytes_max) return true;
    if (max_frame < kRestartFrames) return false;
    // A program without the extension cannot restart a WAL that is pinned. Once it has begun to
    // write back, it does so after each of its commits, two fsyncs each, until the WAL begins anew.
    if (!shim_restarts(now)) return info.backfilled != 0 || info.backfill_attempted != 0;
    // Many writers at once never find it quite written back.
    const uint32_t left = max_frame - info.backfilled;
    if (left <= kCheckpointBeforeLockFrames && max_frame >= kLongForShimFrames) return true;
    if (left != 0) {
        restartable_since = {};
        return false;
    }
    if (restartable_since.ns == 0) restartable_since = now;
    return now - restartable_since > kLeaveToShimFor;
}

Status Capturer::State::restart_when_due(Instant now) {
    if (now < restart_not_before || !restart_is_due(now)) return ok_status();
    const bool beyond = wal_bytes() > options.wal_bytes_max;
    Result<bool> restarted = restart(false, beyond ? kLockPatienceBeyondBound : kLockPatience);
    if (!restarted) return std::move(restarted).error();
    restartable_since = {};
    const Nanos longest = beyond ? kRestartBackoffBeyondBound : kRestartBackoffMax;
    restart_backoff =
        *restarted ? Nanos{0} : std::clamp(restart_backoff * 2, kRestartBackoffMin, longest);
    restart_not_before = now + restart_backoff;
    return ok_status();
}

// False: somebody was in the way; nothing changed.
Result<bool> Capturer::State::restart(bool truncate, Nanos patience) {
    Status moved = pin.leave_slot_1();
    if (!moved && moved.error().code != Errc::busy) return std::move(moved).error();
    if (!moved || !pin.held()) return false;
    // The bulk of the work, while writers go on; when another checkpointer is at it, it finishes.
    const uint32_t most = known.wal.frame - std::min(known.wal.frame, kCheckpointBeforeLockFrames);
    Result<bool> begun = backfill_before(boot_now() + kBackfillPatience, most);
    if (!begun) return begun;

    // With READ0 shared nobody writes back, so a program that does so after each of its commits
    // goes on without that, and begins each transaction on a slot above, which is ours in between.
    const Instant brake_deadline = boot_now() + kBrakePatience;
    Status brake = handle.lock(lock_read(0), 1, false);
    while (!brake && brake.error().code == Errc::busy && boot_now() < brake_deadline) {
        brake = handle.lock(lock_read(0), 1, false);
    }
    ReaderSlots readers(handle, pin.slot());
    Result<bool> locked = readers.take_before(boot_now() + patience);
    if (brake.ok()) handle.unlock(lock_read(0), 1, false);
    if (!locked || !*locked) return locked;
    return restart_without_readers(truncate);
}

// Until at least `target` frames are written back: another checkpointer may be at it. False: a
// reader needs the old pages.
Result<bool> Capturer::State::backfill_before(Instant deadline, uint32_t target) {
    const std::atomic<uint32_t> nobody_wakes{0};
    for (;;) {
        const uint32_t before = read_checkpoint_info(index).backfilled;
        if (before >= target) return true;
        Result<SqliteHandle::Checkpointed> done = checkpoints.checkpoint_passive();
        if (!done && done.error().code != Errc::busy) return std::move(done).error();
        const uint32_t after = read_checkpoint_info(index).backfilled;
        if (boot_now() >= deadline || (done && after == before)) return after >= target;
        if (!done) futex_wait(&nobody_wakes, 0, kCheckpointerLook);
    }
}

// All of READ1 to READ4 are held, by us and the pin. READ0 is taken as well, so that nobody begins
// a transaction at all, and only then WRITE: it is never refused to anyone who has begun one. With
// CHECKPOINT held, no checkpointer can store an nBackfill of the old WAL into the new one (SQLite's
// WAL-reset bug).
Result<bool> Capturer::State::restart_without_readers(bool truncate) {
    TANIST_TRY(look_until_even());
    const uint32_t target = known.wal.frame;
    // Older marks would hold the checkpoint back: it cannot know that their slots are ours.
    store_read_mark(index, 1, target);
    for (int mark = 2; mark < kReadMarks; ++mark) store_read_mark(index, mark, kReadMarkNotUsed);
    Result<bool> locked = backfill_before(boot_now() + kBackfillPatience, target);
    if (!locked || !*locked) return locked;
    const Instant deadline = boot_now() + kLockPatience;
    // A reader on slot 0 loses nothing by a restart, but when it wants to write it would be told
    // SQLITE_BUSY_SNAPSHOT. That is spared it unless the WAL grows and grows.
    const bool spare = wal_bytes() <= kImpoliteFactor * options.wal_bytes_max;
    SlotLock reader_0(handle);
    if (spare) locked = reader_0.take_before(deadline, lock_read(0), 1);
    if (!locked || !*locked) return locked;
    EngineWrites told(control);
    SlotLock write(handle);
    locked = write.take_before(deadline, kLockWrite, 1);
    if (!locked || !*locked) return locked;
    SlotLock checkpoint(handle);
    locked = checkpoint.take_before(deadline, kLockCheckpoint, 1);
    if (!locked || !*locked) return locked;
    TANIST_TRY(look_until_even());
    const std::optional<WalIndexHeader> now = read_wal_index_header(index);
    if (!now || now->max_frame != target || read_checkpoint_info(index).backfilled != target) {
        return false;
    }
    // Before the restart, not with it: an engine that dies in between has announced the mark.
    if (!is_marked(now->change)) TANIST_TRY(mark_now(*now));
    WalIndexHeader before = *now;
    before.change = known.wal.change;
    const WalIndexHeader fresh =
        restart_wal_index(index, before, static_cast<uint32_t>(random_u64()));
    known.wal = {fresh.salt.salt1, fresh.salt.salt2, 0, fresh.change, 0, 0};
    known.live = true;
    if (truncate) TANIST_TRY(handle.truncate_wal());
    TANIST_TRY(announce());
    return true;
}

// Moves iChange to a value that no count from a recovery reaches (capture_rule.h). To SQLite it
// looks like a commit without content, and a reader that wants to write would have to begin anew;
// so it is done only at a moment without readers and writers.
Status Capturer::State::mark_change_when_quiet(Instant now) {
    if (is_marked(known.wal.change) || !even || !pin.held() || now < mark_not_before) {
        return ok_status();
    }
    mark_not_before = now + kMarkAgainAfter;
    // The READ slots first: then nobody is there to whom WRITE could be refused.
    SlotLock lower(handle);
    Result<bool> locked = lower.take(lock_read(0), pin.slot());
    if (!locked) return std::move(locked).error();
    if (!*locked) return ok_status();
    SlotLock upper(handle);
    if (pin.slot() < kReadMarks - 1) {
        locked = upper.take(lock_read(pin.slot() + 1), kReadMarks - 1 - pin.slot());
        if (!locked) return std::move(locked).error();
        if (!*locked) return ok_status();
    }
    SlotLock write(handle);
    locked = write.take(kLockWrite, 1);
    if (!locked) return std::move(locked).error();
    if (!*locked) return ok_status();
    std::optional<WalIndexHeader> header = read_wal_index_header(index);
    if (!header || raw_header() != seen) return ok_status();
    return mark_now(*header);
}

// Requires: WRITE, and that everything is captured. No record of the log has the mark until the
// next commit; the control block has it (resume_from_control).
Status Capturer::State::mark_now(WalIndexHeader header) {
    header.change = mark_change(static_cast<uint32_t>(random_u64()));
    write_wal_index_header(index, header);
    known.wal.change = header.change;
    seen = raw_header();
    return announce();
}

Status Capturer::State::close_cleanly() {
    TANIST_TRY(look_until_even());
    if (prepared) return ok_status();
    Result<bool> emptied =
        known.wal.frame == 0 ? Result<bool>(true) : restart(true, kLockPatienceAtStop);
    if (!emptied) return std::move(emptied).error();
    // Readers or writers are at work: the next start compares the WAL with the log instead.
    if (!*emptied || options.clean_stop_path.empty()) return ok_status();
    EngineWrites told(control);
    SlotLock write(handle);
    Result<bool> locked = write.take(kLockWrite, 1);
    if (!locked) return std::move(locked).error();
    if (!*locked) return ok_status();
    TANIST_TRY(look_until_even());
    if (known.wal.frame != 0) return ok_status();
    Result<CleanStop> stop = describe_stop(known.wal);
    if (!stop) return std::move(stop).error();
    // A write within the same tick of the file system's clock would not show.
    const std::atomic<uint32_t> nothing{0};
    while (unix_now_ns() - stop->db_changed_ns < kFileClockNs) {
        futex_wait(&nothing, 0, Nanos(kFileClockNs / 4));
    }
    TANIST_TRY(replace_file(options.clean_stop_path, encode_clean_stop(*stop)));
    clean_stop_exists = true;
    return ok_status();
}

}  // namespace tanist
