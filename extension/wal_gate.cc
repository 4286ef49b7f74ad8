#include "extension/wal_gate.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "extension/brake.h"
#include "extension/database_file.h"
#include "extension/host.h"
#include "replicator/base/event.h"
#include "replicator/base/file.h"
#include "replicator/control/waited.h"
#include "replicator/wal/wal_index.h"

namespace tanist {
namespace {

constexpr int kFirstRestartSlot = lock_read(1);
constexpr int kRestartSlots = 4;
constexpr uint32_t kReadSlots = 0x1fu << lock_read(0);
constexpr uint32_t kCheckpointSlot = 1u << kLockCheckpoint;

// Offsets in region 0 (walformat 2.1).
constexpr uint32_t kChangeAt = 8;
constexpr uint32_t kPageBytesAt = 12;  // the upper half of this word
constexpr uint32_t kMaxFrameAt = 16;
constexpr uint32_t kSalt1At = 32;  // as in the WAL, big-endian
constexpr uint32_t kSalt2At = 36;
constexpr uint32_t kBackfilledAt = 96;
constexpr uint32_t kReadMarksAt = 100;

// A writer that may go on by appending waits only a moment for a restart while the WAL is short;
// the longer it is, the longer: that is the brake on a writer that outruns its engine. A RESTART or
// TRUNCATE checkpoint was asked for it, and waits longest. A refusal is remembered, because SQLite
// asks again with every transaction for as long as the WAL is written back whole.
constexpr int64_t kWriterPatienceNs = 1'000'000;
constexpr int64_t kWriterPatienceLongNs = 5'000'000;      // beyond an eighth of wal_bytes_max
constexpr int64_t kWriterPatienceLongestNs = 30'000'000;  // beyond a quarter
constexpr int64_t kCheckpointPatienceNs = 1'000'000'000;
// A checkpoint waits so long, in its busy handler, for the engine to mark iChange.
constexpr int64_t kMarkPatienceNs = 5'000'000'000;
// An engine that died in such a moment leaves its word set; the wait ends all the same.
constexpr int64_t kEngineWritesPatienceNs = 100'000'000;
// What a commit waits at most while the WAL is too long, and for how long commits do so in a row.
constexpr int64_t kLongWalPauseNs = 5'000'000;
constexpr int64_t kLongWalPatienceNs = 1'000'000'000;
constexpr int64_t kLongWalLookNs = 200'000;
constexpr int64_t kLeasePatienceNs = 100'000'000;
constexpr int64_t kLeaseLookNs = 1'000'000;
constexpr int64_t kLogSyncLookNs = 20'000'000;
constexpr int64_t kRefusalHoldsNs = 5'000'000;
constexpr int64_t kRefusalHoldsLongestNs = 1'000'000'000;  // of an engine that does not answer
// With fewer frames than this to write back, a checkpoint that cannot end in a restart is not worth
// its two fsyncs.
constexpr uint32_t kUsefulBackfillFrames = 1000;
// Without an engine the WAL grows to this many times wal_bytes_max before it is let go.
constexpr uint64_t kOverrunFactor = 4;

constexpr uint32_t big_endian(uint32_t word) {
    return std::endian::native == std::endian::little ? __builtin_bswap32(word) : word;
}

constexpr uint32_t mask_of(int first, int count) { return ((1u << count) - 1) << first; }

int real_lock(sqlite3_file* real, int first, int count, int flags) {
    return real->pMethods->xShmLock(real, first, count, flags);
}

}  // namespace

uint32_t WalGate::word(uint32_t offset) const {
    auto* at = const_cast<uint32_t*>(reinterpret_cast<volatile uint32_t*>(region0_ + offset));
    return std::atomic_ref<uint32_t>(*at).load(std::memory_order_relaxed);
}

// Requires: WRITE, under which the header does not change by others. Zeros without a wal-index.
WalMoment WalGate::moment() const {
    if (region0_ == nullptr) return {};
    return {word(kChangeAt), big_endian(word(kSalt1At)), big_endian(word(kSalt2At)),
            word(kMaxFrameAt)};
}

int WalGate::lock(DatabaseFile& file, sqlite3_file* real, int first, int count, int flags) {
    const uint32_t slots = mask_of(first, count);
    const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    const bool reads = !exclusive && (slots & kReadSlots) != 0 && file.control;
    int rc;
    if ((flags & SQLITE_SHM_LOCK) != 0) {
        if (reads) turn_.about_to_read(file.control->turn, file.policy.pipelines());
        if (exclusive && first == kLockWrite) {
            rc = take_write(file, real);
        } else if (exclusive && first == kFirstRestartSlot && count == kRestartSlots) {
            rc = take_restart(file, real);
        } else if (exclusive && first == kLockCheckpoint && count == 1 &&
                   (exclusive_ & mask_of(kLockWrite, 1)) == 0) {
            rc = take_checkpoint(file, real);
        } else {
            rc = real_lock(real, first, count, flags);
        }
        if (rc == SQLITE_OK) (exclusive ? exclusive_ : shared_) |= slots;
        return rc;
    }
    (exclusive ? exclusive_ : shared_) &= ~slots;
    if (exclusive && first == kLockWrite) return give_write(file, real);
    if (exclusive && first == kFirstRestartSlot && count == kRestartSlots) {
        return give_restart(file, real);
    }
    const int given = real_lock(real, first, count, flags);
    if (reads) turn_.has_read(file.control->turn);
    if (!exclusive && std::exchange(has_committed_, false)) let_engine_catch_up(file);
    return given;
}

// The engine writes back and restarts a long WAL, and a slow fsync holds it up. A writer that goes
// on at full speed meanwhile waits a little after each commit, where it holds no lock that the
// engine needs; not for long, because an engine whose log is full does not come to it.
void WalGate::let_engine_catch_up(const DatabaseFile& file) {
    if (region0_ == nullptr || !file.control || file.role() != Role::primary) return;
    const uint64_t bound = file.settings.wal_bytes_max + file.settings.wal_bytes_max / 2;
    const auto is_long = [&] { return wal_bytes() > bound; };
    if (!is_long()) wal_is_long_since_ns_ = 0;
    if (!is_long() || !file.engine_answers()) return;
    const Instant now = boot_now();
    if (wal_is_long_since_ns_ == 0) wal_is_long_since_ns_ = now.ns;
    if (now.ns - wal_is_long_since_ns_ > kLongWalPatienceNs) return;
    file.control->held_up_commits.fetch_add(1, std::memory_order_relaxed);
    const Instant deadline = now + Nanos(kLongWalPauseNs);
    while (is_long()) {
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return;
        const std::atomic<uint32_t> nobody_wakes{0};
        futex_wait(&nobody_wakes, 0, std::min(left, Nanos(kLongWalLookNs)));
    }
}

int WalGate::take_write(DatabaseFile& file, sqlite3_file* real) {
    const bool writer = (shared_ & kReadSlots) != 0 && (exclusive_ & kCheckpointSlot) == 0;
    if (writer) {
        if (!file.active) {
            // An attached database is met here for the first time.
            if (auto done = activate_files(file); !done.ok()) {
                file.last_error = done.error().message;
                log_line(file.last_error);
            }
        }
        if (!file.role_allows_write()) return kReadOnlyHere;
        if (const int rc = ask_lease(file); rc != SQLITE_OK) return rc;
        if (const int rc = file.commits.may_begin(file); rc != SQLITE_OK) return rc;
        if (const int rc = brake(file); rc != SQLITE_OK) return rc;
    }
    int rc = real_lock(real, kLockWrite, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    if (rc == SQLITE_BUSY && writer && file.control) rc = wait_for_engine(file, real);
    if (writer && file.control) turn_.asked_to_write(file.control->turn, rc == SQLITE_OK);
    if (rc != SQLITE_OK) return rc;
    if (!writer && engine_must_mark(file)) {
        real_lock(real, kLockWrite, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
        // Not before: an engine that is quick would find WRITE taken, and try again only at the
        // next ring, to find it taken again.
        file.control.ring(true);
        return SQLITE_BUSY;
    }
    at_lock_ = moment();
    at_lock_is_settled_ = region0_ != nullptr && (writer || (exclusive_ & kCheckpointSlot) != 0);
    if (writer && region0_ != nullptr) file.commits.began(file);
    return rc;
}

// A checkpoint that asks for a restart keeps WRITE for its whole busy timeout while it is refused,
// and an engine that has not marked iChange yet needs WRITE before the restart can be granted. So
// the checkpointer is sent to its busy handler without WRITE; not for ever, since one in mode FULL
// asks for no restart.
bool WalGate::engine_must_mark(DatabaseFile& file) {
    const bool checkpointer = (exclusive_ & kCheckpointSlot) != 0;
    if (!checkpointer || region0_ == nullptr || !file.active || !file.control) return false;
    if (file.role() != Role::primary || is_marked(word(kChangeAt))) return false;
    const int64_t now = coarse_now_ns();
    if (waits_for_mark_ns_ == 0) waits_for_mark_ns_ = now;
    if (now - waits_for_mark_ns_ > kMarkPatienceNs) return false;
    return file.engine_answers() || file.ensure_engine();
}

// Between two leases of the same primary, or while it hands over, writers wait for a moment here
// and then as they would for another writer; without a lease for longer, they are refused.
int WalGate::ask_lease(DatabaseFile& file) const {
    LeaseGate lease = file.lease();
    if (lease == LeaseGate::open) return SQLITE_OK;
    const Instant deadline = boot_now() + Nanos(kLeasePatienceNs);
    while (lease == LeaseGate::wait) {
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return SQLITE_BUSY;
        const std::atomic<uint32_t> nobody_wakes{0};
        futex_wait(&nobody_wakes, 0, std::min(left, Nanos(kLeaseLookNs)));
        if (!file.role_allows_write()) return kReadOnlyHere;
        lease = file.lease();
    }
    return lease == LeaseGate::open ? SQLITE_OK : kReadOnlyHere;
}

// The engine takes the write lock now and then, for moments. An application that is the only writer
// need not know what SQLITE_BUSY is, so it waits here; another application's lock is its own
// affair.
int WalGate::wait_for_engine(DatabaseFile& file, sqlite3_file* real) {
    constexpr int kTake = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE;
    const Instant deadline = boot_now() + Nanos(kEngineWritesPatienceNs);
    int rc = SQLITE_BUSY;
    while (rc == SQLITE_BUSY && file.control->engine_writes.load(std::memory_order_seq_cst) != 0) {
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return rc;
        futex_wait(&file.control->engine_writes, 1, left);
        rc = real_lock(real, kLockWrite, 1, kTake);
    }
    // It may have been let go between the refusal and the look.
    return rc == SQLITE_BUSY ? real_lock(real, kLockWrite, 1, kTake) : rc;
}

// SQLite has the WRITE lock until the real unlock: until then nobody else can change iChange.
int WalGate::give_write(DatabaseFile& file, sqlite3_file* real) {
    const WalMoment now = moment();
    const bool committed = now.change != at_lock_.change;
    const bool begun = now.salt1 != at_lock_.salt1 || now.salt2 != at_lock_.salt2;
    if (begun) note_begun(file, now.salt1, now.salt2);
    has_committed_ = committed;
    if (region0_ != nullptr) file.commits.ending(file, committed);
    const int rc = real_lock(real, kLockWrite, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    if (file.control) turn_.has_written(file.control->turn);
    if (committed && file.control && file.role() != Role::replica) {
        if (file.commits.was_held_back()) {
            file.call_engine();
            file.engine_after_commit(true);
        } else if (file.commits.urgent()) {
            if (file.control.count_waiting()) file.call_engine();
            file.engine_after_commit(true);
        } else {
            file.engine_after_commit(file.control.ring(false));
        }
    }
    return rc;
}

bool WalGate::refused_lately() const {
    return refused_ns_ != 0 && coarse_now_ns() - refused_ns_ < refusal_holds_ns_;
}

// While the engine cannot let the WAL be restarted, every commit beyond the application's
// auto-checkpoint limit would run a checkpoint that writes back a handful of frames.
bool WalGate::checkpoint_is_useless(DatabaseFile& file) const {
    if (region0_ == nullptr || !file.active || file.role() != Role::primary) return false;
    const uint32_t behind = word(kMaxFrameAt) - word(kBackfilledAt);
    if (behind >= kUsefulBackfillFrames) return false;
    return refused_lately();
}

// The next writer will want the WAL restarted: the engine has the time of a checkpoint to get
// there.
int WalGate::take_checkpoint(DatabaseFile& file, sqlite3_file* real) {
    if (checkpoint_is_useless(file)) return SQLITE_BUSY;
    waits_for_mark_ns_ = 0;
    const int rc = real_lock(real, kLockCheckpoint, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    const bool ours = rc == SQLITE_OK && file.active && file.role() == Role::primary;
    if (ours && file.control && !wal_is_captured(file)) file.control.ring(true);
    return rc;
}

uint64_t WalGate::wal_bytes() const {
    const uint64_t raw = word(kPageBytesAt) >> 16;
    const uint64_t page_bytes = raw == 1 ? 65536 : raw;
    return word(kMaxFrameAt) * (page_bytes + kWalFrameHeaderBytes);
}

int64_t WalGate::writer_patience_ns(const DatabaseFile& file) const {
    const uint64_t bytes = wal_bytes();
    if (bytes > file.settings.wal_bytes_max / 4) return kWriterPatienceLongestNs;
    return bytes > file.settings.wal_bytes_max / 8 ? kWriterPatienceLongNs : kWriterPatienceNs;
}

// True: the log has what the WAL has, every frame of it. WRITE is held, so this stays true. A
// marked iChange (capture/capture_rule.h) proves it to an engine that starts after a crash, too.
bool WalGate::wal_is_captured(const DatabaseFile& file) const {
    if (region0_ == nullptr) return false;
    const std::optional<WalIndexHeader> now = read_wal_index_header(region0_);
    if (!now || !is_marked(now->change)) return false;
    const CapturedPoint captured = file.control.captured();
    return captured.position.lsn.value != 0 && captured.salt1 == now->salt.salt1 &&
           captured.salt2 == now->salt.salt2 && captured.frame == now->max_frame &&
           captured.change == now->change;
}

bool WalGate::captured_before(const DatabaseFile& file, Instant deadline) const {
    const Control& control = file.control;
    while (true) {
        const uint32_t tick = control->captured_tick.load(std::memory_order_seq_cst);
        if (wal_is_captured(file)) return true;
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return false;
        control.ring(true);
        control.wait_captured(tick, left);
    }
}

// Held by the engine, "not used", and shared by us from now on: nobody can change the mark.
bool WalGate::share_pin(sqlite3_file* real, int mark) {
    constexpr int kShare = SQLITE_SHM_LOCK | SQLITE_SHM_SHARED;
    constexpr int kGive = SQLITE_SHM_UNLOCK;
    const uint32_t at = kReadMarksAt + 4 * static_cast<uint32_t>(mark);
    if (word(at) != kReadMarkNotUsed) return false;
    const int slot = lock_read(mark);
    if (real_lock(real, slot, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK) {
        real_lock(real, slot, 1, kGive | SQLITE_SHM_EXCLUSIVE);
        return false;  // no pin: no engine
    }
    if (real_lock(real, slot, 1, kShare) != SQLITE_OK) return false;
    real->pMethods->xShmBarrier(real);
    if (word(at) == kReadMarkNotUsed) return true;
    real_lock(real, slot, 1, kGive | SQLITE_SHM_SHARED);
    return false;
}

// READ1 gets the mark 0 in a restart, so a pin there is in the way.
int WalGate::lock_beside_pin(sqlite3_file* real) {
    constexpr int kTake = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE;
    constexpr int kGive = SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE;
    for (int mark = kRestartSlots; mark >= 2; --mark) {
        if (!share_pin(real, mark)) continue;
        const int above = kRestartSlots - mark;
        const int below = mark - 1;
        if (real_lock(real, kFirstRestartSlot, below, kTake) == SQLITE_OK) {
            if (above == 0 || real_lock(real, lock_read(mark + 1), above, kTake) == SQLITE_OK) {
                pin_slot_ = mark;
                return SQLITE_OK;
            }
            real_lock(real, kFirstRestartSlot, below, kGive);
        }
        real_lock(real, lock_read(mark), 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    }
    return SQLITE_BUSY;
}

int WalGate::lock_for_restart(DatabaseFile& file, sqlite3_file* real) {
    const bool beside = file.control && wal_is_captured(file);
    if (beside && lock_beside_pin(real) == SQLITE_OK) return SQLITE_OK;
    return real_lock(real, kFirstRestartSlot, kRestartSlots,
                     SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
}

// A TRUNCATE leaves nothing of the WAL by which a database whose commits wait could be found in its
// log after a power cut that takes the log's end (node/own_tail.h).
bool WalGate::log_is_durable(DatabaseFile& file) {
    if (!path_exists(file.layout.waited())) return true;
    const Control& control = file.control;
    const Instant deadline = boot_now() + Nanos(kCheckpointPatienceNs);
    const uint64_t wanted = control.captured().position.lsn.value;
    control->local_sync_asked.fetch_add(1, std::memory_order_seq_cst);
    while (true) {
        const uint32_t tick = control->ack_tick.load(std::memory_order_seq_cst);
        if (control->durable_lsn.load(std::memory_order_acquire) >= wanted) return true;
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return false;
        if (!control.ring(true)) file.ensure_engine();
        control.wait_acks(tick, std::min(left, Nanos(kLogSyncLookNs)), true);
    }
}

bool WalGate::restart_granted(DatabaseFile& file, bool for_checkpoint) {
    if (wal_is_captured(file)) return !for_checkpoint || log_is_durable(file);
    if (!for_checkpoint && refused_lately()) return false;
    if (!file.ensure_engine()) return false;
    // A stopped process keeps its locks. A checkpoint that was asked for may wait for it.
    if (!for_checkpoint && !file.engine_answers()) return false;
    // Not yet marked: the engine restarts the WAL itself, and marks it before.
    if (region0_ == nullptr || !is_marked(word(kChangeAt))) return false;
    const int64_t patience_ns = for_checkpoint ? kCheckpointPatienceNs : writer_patience_ns(file);
    if (!captured_before(file, boot_now() + Nanos(patience_ns))) return false;
    return !for_checkpoint || log_is_durable(file);
}

void WalGate::remember_refusal(bool engine_answers) {
    if (refused_lately()) return;
    refused_ns_ = coarse_now_ns();
    refusal_holds_ns_ =
        engine_answers ? kRefusalHoldsNs
                       : std::clamp(refusal_holds_ns_ * 2, kRefusalHoldsNs, kRefusalHoldsLongestNs);
}

// SQLite holds WRITE, and CHECKPOINT as well when a RESTART or TRUNCATE checkpoint asks. Plain
// SQLITE_BUSY is the one refusal that a writer takes as "append then"; anything else fails it.
int WalGate::take_restart(DatabaseFile& file, sqlite3_file* real) {
    constexpr int kTake = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE;
    const bool for_checkpoint = (exclusive_ & kCheckpointSlot) != 0;
    if ((exclusive_ & mask_of(kLockWrite, 1)) == 0 || file.role() == Role::replica) {
        return real_lock(real, kFirstRestartSlot, kRestartSlots, kTake);
    }
    const bool granted = file.control && restart_granted(file, for_checkpoint);
    const bool answers = !granted && file.control && file.engine_answers();
    if (!granted && wal_bytes() <= file.settings.wal_bytes_max * kOverrunFactor) {
        remember_refusal(answers);
        return SQLITE_BUSY;
    }
    // The pin of an engine that answers refuses it below, unless a log that has been full for long
    // made it let the WAL go (capture/capture_tend.cc).
    if (!granted && !answers && !overrun_noted_) {
        log_line(file.layout.db +
                 ": no engine answers and the WAL is full, so it is reused before it was "
                 "captured; the replicas will be repaired by a delta sync when one runs again");
        overrun_noted_ = true;
    }
    // Under CHECKPOINT no checkpointer can be at work on the old WAL: SQLite 3.7.0 to 3.51.2 would
    // let it store its progress over the new one and lose commits (the WAL-reset bug).
    if (!for_checkpoint) {
        const int rc = real_lock(real, kLockCheckpoint, 1, kTake);
        if (rc != SQLITE_OK) return SQLITE_BUSY;
        checkpoint_is_ours_ = true;
    }
    const int rc = lock_for_restart(file, real);
    if (rc != SQLITE_OK && checkpoint_is_ours_) {
        real_lock(real, kLockCheckpoint, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
        checkpoint_is_ours_ = false;
    }
    if (rc == SQLITE_OK) {
        refused_ns_ = refusal_holds_ns_ = 0;
    } else if (!granted) {
        remember_refusal(answers);
    }
    return rc;
}

// Of a WAL that begins in this transaction: what was committed before it. Said before its first
// frame is written, because a writer may be killed in its first commit, and a recovery then leaves
// nothing but its salts. Where commits wait, a power cut may do so, too.
void WalGate::note_begun(const DatabaseFile& file, uint32_t salt1, uint32_t salt2) const {
    if (!file.control || !at_lock_is_settled_) return;
    const WalBegun last = file.control.begun();
    if (last.salt1 == salt1 && last.salt2 == salt2) return;
    WalBegun begun{salt1, salt2, at_lock_};
    const bool empty = at_lock_.frame == 0;
    // What came before a WAL in which nothing was committed came before this one.
    if (empty && last.salt1 == at_lock_.salt1 && last.salt2 == at_lock_.salt2) {
        begun.after = last.after;
    } else if (empty && salt1 == at_lock_.salt1 && salt2 == at_lock_.salt2) {
        // Whoever restarted it was killed before saying so. iChange tells where that was.
        const CapturedPoint captured = file.control.captured();
        if (!is_marked(at_lock_.change) || captured.change != at_lock_.change) return;
        begun.after = {captured.change, captured.salt1, captured.salt2, captured.frame};
    }
    file.control.set_begun(begun);
    // Without it the commit is as good; the engine may refuse to start after a power cut just now.
    if (Status noted = note_wal_begun(file.layout, begun); !noted.ok()) {
        log_line(noted.error().message);
    }
}

// Salts at 16 and 20 (walformat 1.1).
void WalGate::wal_begins(const DatabaseFile& file, const void* header) const {
    const auto* at = static_cast<const uint8_t*>(header);
    note_begun(file, load_be32(at + 16), load_be32(at + 20));
}

// Requires: WRITE, so what the wal-index says now is what was restarted.
int WalGate::give_restart(const DatabaseFile& file, sqlite3_file* real) {
    const WalMoment now = moment();
    if (now.salt1 != at_lock_.salt1 || now.salt2 != at_lock_.salt2) {
        note_begun(file, now.salt1, now.salt2);
    }
    constexpr int kGive = SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE;
    int rc = SQLITE_OK;
    if (pin_slot_ == 0) {
        rc = real_lock(real, kFirstRestartSlot, kRestartSlots, kGive);
    } else {
        real_lock(real, kFirstRestartSlot, pin_slot_ - 1, kGive);
        const int above = kRestartSlots - pin_slot_;
        if (above > 0) real_lock(real, lock_read(pin_slot_ + 1), above, kGive);
        real_lock(real, lock_read(pin_slot_), 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
        pin_slot_ = 0;
    }
    if (checkpoint_is_ours_) {
        real_lock(real, kLockCheckpoint, 1, kGive);
        checkpoint_is_ours_ = false;
    }
    return rc;
}

}  // namespace tanist
