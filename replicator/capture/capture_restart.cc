// Restarting the WAL, beside programs that do not load the extension and beside fast ones that do.
// With the extension a program can do it itself (extension/wal_gate.h), which keeps capture from
// nothing: best where commits come slowly or wait for replicas. A fast writer is better spared the
// write-back: it costs the writer more than all else that replication does.
//
// A program without the extension writes the WAL back after its commits from some length on (1000
// frames, unless it says otherwise). It expects that its next transaction then begins a new WAL.
// The pin forbids that, so it would write back after each commit, two fsyncs each. Therefore the
// engine takes the CHECKPOINT lock before the WAL is so long: the program's own checkpoints find it
// taken and give up at once, as beside any other checkpointer. The engine writes back, which costs
// the program nothing, and then restarts the WAL, for which the program must wait between two
// transactions.
#include <algorithm>

#include "replicator/base/random.h"
#include "replicator/capture/capture_state.h"
#include "replicator/capture/engine_writes.h"

namespace tanist {

namespace {

using namespace std::chrono_literals;

constexpr uint32_t kLongFrames = 4000;
// Fewer frames than this are written back while writers wait; more are not.
constexpr uint32_t kFewFrames = 256;
constexpr int kBulkPasses = 2;
constexpr auto kShimIsActiveFor = 2s;
constexpr auto kPresenceEvery = 100ms;
constexpr auto kLeaveToShimFor = 5ms;
// A writer is fast that makes kHoldFrames within this.
constexpr Nanos kFastWithin = 100ms;
constexpr Nanos kWaitersAreAboutFor = 2s;
// How long others are kept from writing back: while a fast writer makes the WAL long enough to be
// worth a restart, and at most, when restarts fail.
constexpr Nanos kHoldForLong = 30ms;
constexpr Nanos kHoldLongest = 100ms;
// For a lock that is free for moments only. Once the WAL is beyond its bound it is worth waiting.
constexpr Nanos kLockPatience = 1ms;
constexpr Nanos kCheckpointerPatience = 5ms;
constexpr Nanos kLockPatienceBeyondBound = 5ms;
constexpr Nanos kRestartBackoffMin = 2ms;
constexpr Nanos kRestartBackoffMax = 50ms;
constexpr Nanos kRestartBackoffBeyondBound = 20ms;
constexpr uint64_t kImpoliteFactor = 2;

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

void Capturer::State::note_pace(Instant now) {
    if (known.wal.salt2 != paced_salt2) {
        paced_salt2 = known.wal.salt2;
        wal_began_at = now;
        wal_was_long_at = {};
    }
    if (wal_was_long_at.ns == 0 && known.wal.frame >= kHoldFrames) wal_was_long_at = now;
    const bool commits_wait = prepared || control->ack_waiters.load(std::memory_order_relaxed) != 0;
    if (commits_wait) waiters_seen_at = now;
}

// Requires: the WAL is long.
bool Capturer::State::writer_is_fast(Instant now) const {
    if (waiters_seen_at.ns != 0 && now - waiters_seen_at < kWaitersAreAboutFor) return false;
    return wal_was_long_at - wal_began_at < kFastWithin;
}

// Whether to leave a restart to the extension.
bool Capturer::State::shim_restarts(Instant now) {
    if (writer_is_fast(now)) return false;
    if (shim_restarted_at.ns != 0 && now - shim_restarted_at < kShimIsActiveFor) return true;
    if (now - presence_looked_at > kPresenceEvery) {
        presence_looked_at = now;
        shim_is_present = !control.nobody_present();
    }
    return shim_is_present && known.wal.frame < kLongFrames;
}

Result<bool> Capturer::State::restart_is_due(Instant now) {
    const WalCheckpointInfo info = read_checkpoint_info(index);
    const uint32_t max_frame = known.wal.frame;
    if (info.backfilled > max_frame) {
        // Seen only while SQLite's WAL-reset bug strikes, or for the moment of a foreign restart.
        return false;
    }
    if (wal_bytes() > options.wal_bytes_max) return true;
    if (!shim_restarts(now)) return hold_checkpoint(now, info);
    // Many writers at once never find it quite written back.
    const uint32_t left = max_frame - info.backfilled;
    if (left <= kFewFrames && max_frame >= kLongFrames) return true;
    if (left != 0) {
        restartable_since = {};
        return false;
    }
    if (restartable_since.ns == 0) restartable_since = now;
    return now - restartable_since > kLeaveToShimFor;
}

// Keeps others from writing back, once they were seen to; an application may also have its reasons
// never to. True: the WAL is long enough, or was held for long enough.
Result<bool> Capturer::State::hold_checkpoint(Instant now, const WalCheckpointInfo& info) {
    const bool begun = info.backfilled != 0 || info.backfill_attempted != 0;
    others_write_back |= begun;
    if (!others_write_back) return false;
    if (!checkpoint_lock.held()) {
        // A reader stays, say: nobody suffers before something more is written.
        if (known.wal.frame == gave_up_at_frame) return false;
        const Instant deadline = begun ? now + kCheckpointerPatience : now;
        Result<bool> taken = checkpoint_lock.take_before(deadline, kLockCheckpoint, 1);
        if (!taken || !*taken) return taken;
        checkpoint_held_since = now;
    }
    return known.wal.frame >= kLongFrames || now - checkpoint_held_since > kHoldForLong ||
           known.wal.frame - info.backfilled <= kFewFrames;
}

Status Capturer::State::restart_when_due(Instant now) {
    if (now < restart_not_before) return ok_status();
    Result<bool> due = restart_is_due(now);
    if (!due) return std::move(due).error();
    if (!*due) return ok_status();
    const bool beyond = wal_bytes() > options.wal_bytes_max;
    const bool foreign = checkpoint_lock.held();
    Result<bool> restarted = restart(false, beyond ? kLockPatienceBeyondBound : kLockPatience);
    const bool again =
        foreign && restarted.ok() && !*restarted && now - checkpoint_held_since < kHoldLongest;
    if (!again) {
        checkpoint_lock.give();
        gave_up_at_frame = known.wal.frame;
    }
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
    if (!checkpoint_lock.held()) {
        const Instant now = boot_now();
        Result<bool> taken = checkpoint_lock.take_before(now + patience, kLockCheckpoint, 1);
        if (!taken || !*taken) return taken;
        checkpoint_held_since = now;
    }
    // The bulk of the work, while writers go on.
    for (int pass = 0; pass < kBulkPasses; ++pass) {
        TANIST_TRY(look());
        const uint32_t end = known.wal.frame;
        const uint32_t left = end - std::min(end, read_checkpoint_info(index).backfilled);
        // Writers that outrun us wait for all of it, or the WAL would grow and grow.
        if (left <= kFewFrames || (pass > 0 && wal_bytes() > options.wal_bytes_max / 4)) break;
        // Not all of it, where a writer is in a transaction: the next pass does more.
        Result<bool> done = write_back(end);
        if (!done) return done;
    }
    ReaderSlots readers(handle, pin.slot());
    Result<bool> locked = readers.take_before(boot_now() + patience);
    if (!locked || !*locked) return locked;
    return restart_without_readers(truncate);
}

// Requires: checkpoint_lock. False: a reader needs the old pages of some frame up to `target`.
Result<bool> Capturer::State::write_back(uint32_t target) {
    if (read_checkpoint_info(index).backfilled >= target) return true;
    Result<SqliteHandle::Checkpointed> done = checkpoints.checkpoint_passive();
    if (!done && done.error().code != Errc::busy) return std::move(done).error();
    return read_checkpoint_info(index).backfilled >= target;
}

// All of READ1 to READ4 are held, by us and the pin. READ0 is taken as well, so that nobody begins
// a transaction at all, and only then WRITE: it is never refused to anyone who has begun one. With
// CHECKPOINT held, no checkpointer can store an nBackfill of the old WAL into the new one (SQLite's
// WAL-reset bug).
Result<bool> Capturer::State::restart_without_readers(bool truncate) {
    TANIST_TRY(look_until_even());
    const uint32_t target = known.wal.frame;
    const Instant deadline = boot_now() + kLockPatience;
    // A reader on slot 0 loses nothing by a restart, but when it wants to write it would be told
    // SQLITE_BUSY_SNAPSHOT. That is spared it unless the WAL grows and grows.
    const bool spare = wal_bytes() <= kImpoliteFactor * options.wal_bytes_max;
    SlotLock reader_0(handle);
    Result<bool> locked = reader_0.take_before(deadline, lock_read(0), 1);
    if (!locked) return locked;
    if (!*locked && spare) return false;
    locked = write_back(target);
    if (!locked || !*locked) return locked;
    EngineWrites told(control);
    SlotLock write(handle);
    locked = write.take_before(boot_now() + kLockPatience, kLockWrite, 1);
    if (!locked || !*locked) return locked;
    TANIST_TRY(look_until_even());
    const std::optional<WalIndexHeader> now = read_wal_index_header(index);
    if (!now || now->max_frame != target || read_checkpoint_info(index).backfilled != target) {
        return false;
    }
    // Before the restart, not with it: an engine that dies in between has announced the mark.
    if (!is_marked(now->change)) TANIST_TRY(mark_now(*now));
    // Without a WAL nothing says where the database stands in a log that a power cut shortens.
    if (truncate) TANIST_TRY(log.sync());
    WalIndexHeader before = *now;
    before.change = known.wal.change;
    // Said before it is so: whoever kills the engine in between leaves a WAL whose beginning is
    // known.
    const auto salt2 = static_cast<uint32_t>(random_u64());
    const WalSalt next = restarted_salt(before.salt, salt2);
    const WalMoment end{before.change, before.salt.salt1, before.salt.salt2, before.max_frame};
    control.set_begun({next.salt1, next.salt2, end});
    const WalIndexHeader fresh = restart_wal_index(index, before, salt2);
    known.wal = {fresh.salt.salt1, fresh.salt.salt2, 0, fresh.change, 0, 0};
    known.live = true;
    if (truncate) TANIST_TRY(handle.truncate_wal());
    TANIST_TRY(announce());
    return true;
}

}  // namespace tanist
