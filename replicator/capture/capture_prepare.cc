// Commits that their writers hold back: into the log before they are visible, and how they ended.
#include <utility>

#include "replicator/base/event.h"
#include "replicator/base/hash.h"
#include "replicator/base/notes.h"
#include "replicator/capture/capture_state.h"
#include "replicator/capture/engine_writes.h"
#include "replicator/control/prepare_slot.h"

namespace tanist {

namespace {

using namespace std::chrono_literals;

// A writer that holds its commit back holds WRITE too, so the lock is tried for only seldom.
constexpr Nanos kResolveEvery = 20ms;

uint32_t get(const std::atomic<uint32_t>& field) { return field.load(std::memory_order_relaxed); }

}  // namespace

// Whether the slot, left by an engine that is gone, speaks of this record: the last of the log.
bool Capturer::State::slot_is_of(const RecordHeader& record) const {
    const ControlPrepare& slot = control->prepare;
    if (phase_of(slot.word.load(std::memory_order_acquire)) == PreparePhase::settled) return false;
    return record.kind == RecordKind::commit && record.wal.salt1 == get(slot.salt1) &&
           record.wal.salt2 == get(slot.salt2) && record.wal.frame == get(slot.last_frame) &&
           record.wal.change == get(slot.change) && record.db_pages == get(slot.db_pages);
}

// Everything that is visible is in the log.
Status Capturer::State::tend_prepare() {
    ControlPrepare& slot = control->prepare;
    const uint32_t word = slot.word.load(std::memory_order_acquire);
    prepare_seen = word;
    switch (phase_of(word)) {
        case PreparePhase::settled:
            // A block that was made anew: what the old one said of it is lost.
            if (prepared) TANIST_TRY(take_back_prepared());
            return ok_status();
        case PreparePhase::posted:
            // Until it is logged, every look tries again.
            if (!prepared) prepare_seen = word + kPrepareAttempt;
            if (!even) return ok_status();
            if (!prepared) {
                TANIST_TRY(append_prepared(word));
                if (prepared) prepare_seen = word;
            } else if (slot.logged_word.load(std::memory_order_relaxed) != word) {
                // Logged by an engine that is gone.
                slot.lsn.store(prepared->lsn.value, std::memory_order_relaxed);
                slot.logged_word.store(word, std::memory_order_release);
                control.bump_acks(true);
            }
            return ok_status();
        case PreparePhase::granted:
            return ok_status();
        case PreparePhase::published:
            settle_due = !prepared;
            return ok_status();
        case PreparePhase::refused:
            TANIST_TRY(take_back_prepared());
            settle_due = true;
            return ok_status();
    }
    return ok_status();
}

// The writer waits under WRITE, so the frames and the wal-index stand still for as long as the
// word says posted.
Status Capturer::State::append_prepared(uint32_t word) {
    ControlPrepare& slot = control->prepare;
    const uint32_t first = get(slot.first_frame);
    const uint32_t last = get(slot.last_frame);
    WalIndexHeader frames_end;
    frames_end.page_bytes = get(slot.page_bytes);
    frames_end.max_frame = last;
    // The writer gives up by itself what does not fit here.
    if (known.wal.frame + 1 != first || last < first || frames_end.page_bytes == 0) {
        return ok_status();
    }
    frames.forget();
    Status scanned = scan(first, frames_end);
    if (!scanned && scanned.error().code == Errc::busy) return ok_status();
    TANIST_TRY(std::move(scanned));
    pgnos.back() = get(slot.pgno);
    RecordHeader record = blank_record(RecordKind::commit);
    record.page_bytes = frames_end.page_bytes;
    record.db_pages = get(slot.db_pages);
    select_pages(first, pgnos.data(), pgnos.size(), record.db_pages, pages);
    record.page_count = static_cast<uint32_t>(pages.size());
    record.wal = {get(slot.salt1),  get(slot.salt2),      last,
                  get(slot.change), get(slot.checksum_a), get(slot.checksum_b)};
    // Also when it is not published yet.
    const std::optional<RecordHeader> last_before = log.last();
    Result<bool> appended = append_pages(record, [&]() -> Result<bool> {
        return slot.word.load(std::memory_order_acquire) == word;
    });
    if (!appended) return std::move(appended).error();
    if (!*appended) return ok_status();
    settled = last_before ? last_before->position() : log.end().position;
    prepared = log.last();
    slot.lsn.store(prepared->lsn.value, std::memory_order_relaxed);
    slot.logged_word.store(word, std::memory_order_release);
    return ok_status();
}

Result<bool> Capturer::State::adopt_prepared(uint32_t first, const CommitMark& mark,
                                             uint32_t change, const WalIndexHeader& now) {
    Result<bool> same = is_prepared(first, mark, now);
    if (!same) return same;
    if (!*same) {
        TANIST_TRY(take_back_prepared());
        return false;
    }
    const WalPoint wal = {now.salt.salt1, now.salt.salt2,  mark.last_frame,
                          change,         mark.checksum.a, mark.checksum.b};
    captured_commit(wal, prepared->lsn);
    prepared.reset();
    settle_due = true;
    return true;
}

// Its writer's word under WRITE is enough. Without it, a process that knows nothing of the slot
// may have written other frames in the same place.
Result<bool> Capturer::State::is_prepared(uint32_t first, const CommitMark& mark,
                                          const WalIndexHeader& now) {
    const ControlPrepare& slot = control->prepare;
    const bool said =
        phase_of(slot.word.load(std::memory_order_acquire)) == PreparePhase::published &&
        slot_is_of(*prepared);
    if (said && mark.last_frame == prepared->wal.frame && first == get(slot.first_frame)) {
        return true;
    }
    if (mark.db_pages != prepared->db_pages || now.page_bytes != prepared->page_bytes) return false;
    return has_content(*prepared, first, mark.last_frame);
}

// Requires: the range of the last scan() includes these frames.
Result<bool> Capturer::State::has_content(const RecordHeader& record, uint32_t first,
                                          uint32_t last) {
    select_pages(first, pgnos.data() + (first - scan_first), last - first + 1, record.db_pages,
                 pages);
    if (pages.size() != record.page_count) return false;
    Hasher128 hasher;
    TANIST_TRY(write_pages(record.page_bytes, [&](ByteView part) {
        hasher.update(part);
        return ok_status();
    }));
    return hasher.digest() == record.payload_hash;
}

// A transaction that rewrites its own frames is logged before SQLite sums them up. If the WAL still
// has its content, the checksum that it has now is the commit's.
Status Capturer::State::sum_up_known(const WalIndexHeader& now, const WalChecksum& found) {
    const RecordHeader record = *std::exchange(unsummed, std::nullopt);
    if (known.wal != record.wal || now.max_frame < record.wal.frame) return ok_status();
    if (unsummed_first > record.wal.frame || now.page_bytes != record.page_bytes) {
        return ok_status();
    }
    WalIndexHeader its_end = now;
    its_end.max_frame = record.wal.frame;
    TANIST_TRY(scan(unsummed_first, its_end));
    if (commits.size() != 1 || commits.back().last_frame != record.wal.frame) return ok_status();
    Result<bool> same = has_content(record, unsummed_first, record.wal.frame);
    if (!same) return std::move(same).error();
    if (!*same) return ok_status();
    known.wal.checksum_a = found.a;
    known.wal.checksum_b = found.b;
    return ok_status();
}

// Nobody but its writer knows whether a granted commit will be seen, and nobody may be told that it
// happened and find it taken back: as long as the writer holds WRITE, the log waits.
Result<bool> Capturer::State::end_prepared() {
    ControlPrepare& slot = control->prepare;
    while (prepared) {
        const uint32_t word = slot.word.load(std::memory_order_acquire);
        const PreparePhase phase = phase_of(word);
        if (phase == PreparePhase::published && slot_is_of(*prepared)) {
            prepared.reset();
            settle_due = true;
        } else if (phase == PreparePhase::posted) {
            if (decide_commit(slot, word, PreparePhase::refused)) TANIST_TRY(take_back_prepared());
        } else if (phase == PreparePhase::granted) {
            Result<bool> ended = refuse_granted();
            if (!ended || !*ended) return ended;
        } else {
            TANIST_TRY(take_back_prepared());
        }
    }
    return true;
}

// False: WRITE is taken, or the wal-index does not settle.
Result<bool> Capturer::State::refuse_granted() {
    EngineWrites told(control);
    Status locked = handle.lock(kLockWrite, 1, true);
    if (!locked.ok() && locked.error().code == Errc::busy) return false;
    TANIST_TRY(std::move(locked));
    const uint32_t word = control->prepare.word.load(std::memory_order_acquire);
    const std::optional<WalIndexHeader> header = read_wal_index_header(index);
    Status cleared = header ? take_header_back(*header) : ok_status();
    if (header && cleared.ok() && phase_of(word) == PreparePhase::granted) {
        refuse_leftover(control->prepare, word);
    }
    handle.unlock(kLockWrite, 1, true);
    TANIST_TRY(std::move(cleared));
    return header.has_value();
}

// Of a granted commit that nobody has seen: no recovery may find it. Requires: WRITE, and that its
// writer is gone.
Status Capturer::State::take_header_back(const WalIndexHeader& visible) {
    const ControlPrepare& slot = control->prepare;
    if (phase_of(slot.word.load(std::memory_order_acquire)) != PreparePhase::granted) {
        return ok_status();
    }
    const WalMoment now{visible.change, visible.salt.salt1, visible.salt.salt2, visible.max_frame};
    if (!is_invisible(slot, now)) return ok_status();
    const std::array<uint8_t, kWalFrameHeaderBytes> zeros{};
    return handle.write_wal(wal_frame_offset(get(slot.last_frame), get(slot.page_bytes)), zeros);
}

Status Capturer::State::take_back_prepared() {
    if (!prepared) return ok_status();
    ControlPrepare& slot = control->prepare;
    slot.logged_word.store(0, std::memory_order_release);
    RecordHeader record = blank_record(RecordKind::abort);
    // An ABORT ends what its own epoch prepared; the next one begins with its EPOCH.
    record.epoch = prepared->epoch;
    record.subject = prepared->lsn;
    TANIST_TRY(log.begin(0));
    Result<RecordHeader> sealed = log.finish(record);
    if (!sealed) return std::move(sealed).error();
    unpublished = true;
    prepared.reset();
    untold.bytes += sealed->record_bytes();
    note(NoteLevel::warning, "a commit that was held back has been taken back",
         {{"database", handle.path()},
          {"position", to_string(Position{record.epoch, record.subject})}});
    return ok_status();
}

// The log says how it ended, for whoever reads it after a crash, too: only then may a writer post
// the next one.
void Capturer::State::settle_slot() {
    settle_due = false;
    ControlPrepare& slot = control->prepare;
    uint32_t word = slot.word.load(std::memory_order_acquire);
    while (phase_of(word) != PreparePhase::settled && phase_of(word) != PreparePhase::posted) {
        const uint32_t settled_word = with_phase(word, PreparePhase::settled);
        if (slot.word.compare_exchange_weak(word, settled_word)) {
            prepare_seen = settled_word;
            break;
        }
    }
    futex_wake_all(&slot.word);
}

// A writer that was killed leaves the slot as it was; WRITE is then free.
Status Capturer::State::resolve_abandoned(Instant now) {
    const PreparePhase phase = phase_of(control->prepare.word.load(std::memory_order_acquire));
    if (phase != PreparePhase::posted && phase != PreparePhase::granted) return ok_status();
    if (now < resolve_not_before) return ok_status();
    resolve_not_before = now + kResolveEvery;
    EngineWrites told(control);
    Status locked = handle.lock(kLockWrite, 1, true);
    if (!locked.ok()) {
        return locked.error().code == Errc::busy ? ok_status() : std::move(locked);
    }
    Status resolved = resolve_under_write_lock();
    handle.unlock(kLockWrite, 1, true);
    return resolved;
}

Status Capturer::State::resolve_under_write_lock() {
    // If it became visible, capture has taken it for that by now.
    const std::optional<WalIndexHeader> header = read_wal_index_header(index);
    if (!header) return ok_status();
    TANIST_TRY(look());
    ControlPrepare& slot = control->prepare;
    uint32_t word = slot.word.load(std::memory_order_acquire);
    const PreparePhase phase = phase_of(word);
    if (phase != PreparePhase::posted && phase != PreparePhase::granted) return ok_status();
    if (!even) return ok_status();
    TANIST_TRY(take_header_back(*header));
    if (slot.word.compare_exchange_strong(word, with_phase(word, PreparePhase::refused))) {
        TANIST_TRY(look());
    }
    return ok_status();
}

}  // namespace tanist
