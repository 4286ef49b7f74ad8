#include "replicator/capture/capturer.h"

#include "replicator/base/event.h"
#include "replicator/base/hash.h"
#include "replicator/base/notes.h"
#include "replicator/capture/capture_state.h"

namespace tanist {

namespace {
using namespace std::chrono_literals;

// From a commit's grant to its end a living writer takes microseconds.
constexpr Nanos kGrantedWriterPatience = 1s;
constexpr Nanos kGrantedWriterLook = 1ms;
constexpr size_t kDbHeaderBytes = 100;
constexpr int kPinTries = 1000;
constexpr size_t kCleanStopBytesMax = 4096;

bool names_wal_point(const RecordHeader& record) {
    switch (record.kind) {
        case RecordKind::commit:
        case RecordKind::rebase:
            return true;
        case RecordKind::epoch:
            return record.page_bytes != 0;
        case RecordKind::abort:
            break;
    }
    return false;
}
}  // namespace

Capturer::Capturer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Capturer::~Capturer() = default;

Result<std::unique_ptr<Capturer>> Capturer::start(SqliteHandle& handle, SqliteHandle& checkpoints,
                                                  Log& log, Control& control,
                                                  const CaptureOptions& options) {
    auto state = std::make_unique<State>(handle, checkpoints, log, control, options);
    Result<volatile void*> region = handle.region(0, false);
    if (!region) return std::move(region).error();
    if (*region == nullptr) return Error{Errc::io, handle.path() + " has no wal-index"};
    state->index = *region;
    // Readers hold slots for moments. If all four stay taken, the pin comes later, in tend_wal().
    for (int tries = 0; tries < kPinTries && !state->pin.held(); ++tries) {
        Status taken = state->pin.take();
        if (!taken && taken.error().code != Errc::busy) return std::move(taken).error();
    }
    TANIST_TRY(state->resume());
    return std::unique_ptr<Capturer>(new Capturer(std::move(state)));
}

Result<CaptureProgress> Capturer::poll() { return state_->poll(); }
Status Capturer::tend_wal() { return state_->tend_wal(); }
Result<bool> Capturer::append_epoch_record() {
    State& state = *state_;
    if (state.prepared) return false;
    TANIST_TRY(state.append_epoch());
    TANIST_TRY(state.announce());
    return true;
}
Status Capturer::settle_under_write_lock() { return state_->resolve_under_write_lock(); }
Status Capturer::close_cleanly() { return state_->close_cleanly(); }
Lsn Capturer::captured() const { return state_->log.end().position.lsn; }

Lsn Capturer::committed() const {
    return Lsn{state_->control->committed_lsn.load(std::memory_order_acquire)};
}

bool Capturer::restless() const {
    const State& state = *state_;
    return (!state.pin.held() && !state.wal_is_let_go) || state.checkpoint_lock.held();
}

bool Capturer::took_all() const {
    const State& state = *state_;
    return state.even &&
           state.control->prepare.word.load(std::memory_order_acquire) == state.prepare_seen;
}

// -- resuming

Status Capturer::State::resume() {
    std::optional<WalIndexHeader> now;
    for (int looks = 0; !now && looks < kUnsettledLooksMax; ++looks) {
        now = read_wal_index_header(index);
        if (!now) TANIST_TRY(checkpoints.touch());
    }
    if (!now) return Error{Errc::busy, handle.path() + ": the wal-index does not settle"};
    if (now->version != kWalIndexVersion) {
        return Error{Errc::invalid, handle.path() + ": the wal-index has version " +
                                        std::to_string(now->version) + ", this program knows " +
                                        std::to_string(kWalIndexVersion)};
    }
    TANIST_TRY(resume_from_records(*now));
    if (options.database_is_at_log_end && log.end().position.lsn.value != 0) {
        Result<RecordHeader> here = describe_database(*now);
        if (!here) return std::move(here).error();
        known = {here->wal, here->page_bytes, true};
        rebase_due.clear();
    } else {
        Result<bool> resumed = resume_from_clean_stop(*now);
        if (!resumed) return std::move(resumed).error();
    }
    TANIST_TRY(append_epoch_if_newer());
    Status looked = look_until_even();
    // Neither a full disk nor a busy writer is a reason not to start: the pin keeps what the log
    // does not have yet.
    if (!looked.ok() && looked.error().code != Errc::no_space &&
        looked.error().code != Errc::busy) {
        return looked;
    }
    TANIST_TRY(mark_change_when_quiet(boot_now()));
    return announce();
}

// The last record that says where it stood in this database's WAL.
Status Capturer::State::resume_from_records(const WalIndexHeader& now) {
    const std::optional<RecordHeader> last = log.last();
    if (!last) {
        rebase_due = "the log begins here";
        return ok_status();
    }
    const std::unique_ptr<LogReader> reader = log.reader();
    settled = last->position();
    Lsn not_visible = last->subject;
    if (slot_is_of(*last)) {
        const uint32_t word = control->prepare.word.load(std::memory_order_acquire);
        if (phase_of(word) == PreparePhase::published) {
            settle_due = true;
        } else {
            prepared = *last;
            not_visible = last->lsn;
        }
    }
    Result<std::optional<RecordHeader>> found = visible_record(*reader, *last, not_visible);
    if (!found) return std::move(found).error();
    if (!*found) {
        rebase_due = "no record says where the log stood in the WAL";
        return ok_status();
    }
    const RecordHeader& record = **found;
    known = {record.wal, record.page_bytes, false};
    TANIST_TRY(resume_from_control(*reader, record.lsn, now));
    if (record.kind != RecordKind::commit) return ok_status();
    if (record.wal.checksum_a != 0 || record.wal.checksum_b != 0) return ok_status();
    // Logged before SQLite summed it up: its content must prove the place instead.
    if (record.lsn <= log.stat().first) return ok_status();
    Result<RecordHeader> before = reader->header_of(Lsn(record.lsn.value - 1));
    if (!before) return std::move(before).error();
    Result<std::optional<RecordHeader>> earlier = visible_record(*reader, *before, before->subject);
    if (!earlier) return std::move(earlier).error();
    if (!*earlier) return ok_status();
    const WalPoint& wal = (*earlier)->wal;
    const bool same_wal = wal.salt1 == record.wal.salt1 && wal.salt2 == record.wal.salt2;
    unsummed = record;
    unsummed_first = same_wal ? wal.frame + 1 : 1;
    return ok_status();
}

// What the control block knows of the time after record `known_lsn`, the last with a place.
Status Capturer::State::resume_from_control(LogReader& reader, Lsn known_lsn,
                                            const WalIndexHeader& now) {
    const CapturedPoint said = control.captured();
    const Lsn lsn = said.position.lsn;
    if (lsn < known_lsn || lsn > log.end().position.lsn) return ok_status();
    Result<RecordHeader> record = reader.header_of(lsn);
    if (!record) return std::move(record).error();
    // A power cut took the end of the log, and another record has the number now.
    if (record->position() != said.position) return ok_status();
    ControlNotes notes = read_begun();
    notes.captured = {said.salt1, said.salt2, said.frame, said.change, 0, 0};
    known = resume_point(known, notes, now);
    return ok_status();
}

ControlNotes Capturer::State::read_begun() const {
    const WalBegun begun = control.begun();
    const WalMoment& after = begun.after;
    ControlNotes notes;
    notes.begun = {begun.salt1, begun.salt2};
    notes.begun_after = {after.salt1, after.salt2, after.frame, after.change, 0, 0};
    return notes;
}

// `record` or the last one before it that says where the log stood in the WAL when everything up to
// it was visible. Nothing: the log does not reach back so far.
Result<std::optional<RecordHeader>> Capturer::State::visible_record(LogReader& reader,
                                                                    RecordHeader record,
                                                                    Lsn not_visible) {
    const Lsn first = log.stat().first;
    while (!names_wal_point(record) || record.lsn == not_visible) {
        if (record.lsn <= first) return std::optional<RecordHeader>{};
        Result<RecordHeader> before = reader.header_of(Lsn(record.lsn.value - 1));
        if (!before) return std::move(before).error();
        record = *before;
        if (prepared && settled.lsn == prepared->lsn) settled = record.position();
        if (record.kind == RecordKind::abort) not_visible = record.subject;
    }
    return std::optional<RecordHeader>{record};
}

Result<CleanStop> Capturer::State::describe_stop(const WalPoint& wal) {
    std::array<uint8_t, kDbHeaderBytes> start{};
    Result<size_t> found = handle.read_db(0, start);
    if (!found) return std::move(found).error();
    Result<FileStat> stat = stat_path(handle.path());
    if (!stat) return std::move(stat).error();
    CleanStop stop;
    stop.log_end = log.end();
    stop.wal = wal;
    stop.page_bytes = known.page_bytes;
    stop.db_bytes = stat->bytes;
    stop.db_inode = stat->inode;
    stop.db_modified_ns = stat->modified_ns;
    stop.db_changed_ns = stat->changed_ns;
    stop.db_header_hash = hash64(start);
    return stop;
}

// True when the note of a clean stop gave the point to go on from.
Result<bool> Capturer::State::resume_from_clean_stop(const WalIndexHeader& now) {
    if (!rebase_due.empty() || options.clean_stop_path.empty()) return false;
    Result<Bytes> bytes = read_file(options.clean_stop_path, kCleanStopBytesMax);
    if (!bytes) return false;
    const std::optional<CleanStop> stop = decode_clean_stop(*bytes);
    if (!stop || stop->log_end != log.end()) return false;
    known = {stop->wal, stop->page_bytes, false};
    Result<CaptureDecision> decision = decide(now);
    if (decision.ok() && decision->action != CaptureDecision::Action::gap) return true;
    Result<CleanStop> present = describe_stop(stop->wal);
    if (!present) return std::move(present).error();
    if (*present != *stop) return true;  // the gap stands
    // Nothing was written back since the stop, so no WAL was restarted since: all commits after it
    // are in the present WAL, from its first frame on.
    known.wal = {now.salt.salt1, now.salt.salt2, 0, 0, 0, 0};
    known.wal.change = now.change;
    known.live = true;
    if (now.max_frame > 0) {
        TANIST_TRY(scan(1, now));
        known.wal.change = now.change - static_cast<uint32_t>(commits.size());
    }
    return true;
}

Status Capturer::State::append_epoch_if_newer() {
    const std::optional<RecordHeader> last = log.last();
    const bool newer = last ? options.epoch > last->epoch : options.barrier;
    if (!newer) return ok_status();
    const Instant give_up = boot_now() + kGrantedWriterPatience;
    for (;;) {
        Result<bool> ended = end_prepared();
        if (!ended) return std::move(ended).error();
        if (*ended) return append_epoch();
        if (boot_now() >= give_up) break;
        const std::atomic<uint32_t> nobody_wakes{0};
        futex_wait(&nobody_wakes, 0, kGrantedWriterLook);
    }
    return Error{Errc::busy, handle.path() +
                                 ": a process stands still in the middle of a commit; let it go "
                                 "on, or end it"};
}

// Requires: no commit is held back.
Status Capturer::State::append_epoch() {
    forget_clean_stop();
    TANIST_TRY(log.begin(0));
    RecordHeader record = blank_record(RecordKind::epoch);
    if (rebase_due.empty()) {
        record.wal = known.wal;
        record.page_bytes = known.page_bytes;
    }
    Result<RecordHeader> sealed = log.finish(record);
    if (!sealed) return std::move(sealed).error();
    unpublished = true;
    return ok_status();
}

// -- looking

RawHeader Capturer::State::raw_header() const {
    RawHeader raw;
    const auto* words = static_cast<const volatile uint64_t*>(index);
    for (size_t i = 0; i < raw.size(); ++i) raw[i] = __atomic_load_n(words + i, __ATOMIC_RELAXED);
    return raw;
}

bool Capturer::State::nothing_new() const {
    return even && raw_header() == seen &&
           control->prepare.word.load(std::memory_order_acquire) == prepare_seen;
}

Result<CaptureProgress> Capturer::State::poll() {
    const bool nothing = nothing_new();
    if (nothing && untold.commits == 0 && !untold.rebased) return CaptureProgress{};
    if (!nothing) TANIST_TRY(look());
    return std::exchange(untold, {});
}

Status Capturer::State::look() {
    even = false;
    const RawHeader raw = raw_header();
    const std::optional<WalIndexHeader> now = read_wal_index_header(index);
    if (!now) {
        if (++unsettled_looks < kUnsettledLooksMax) return ok_status();
        unsettled_looks = 0;
        return checkpoints.touch();
    }
    unsettled_looks = 0;
    Status captured = ok_status();
    if (!rebase_due.empty()) {
        captured = append_rebase(*now, std::string(rebase_due));
    } else {
        Result<bool> done = capture_up_to(*now);
        if (!done) captured = std::move(done).error();
        even = done.ok() && *done && rebase_due.empty();
    }
    if (captured.ok() && rebase_due.empty()) captured = tend_prepare();
    // What was finished before an error is visible too: it happened.
    Status announced_all = announce();
    log_is_full = (!captured && captured.error().code == Errc::no_space) ||
                  (!announced_all && announced_all.error().code == Errc::no_space);
    if (even && announced_all.ok()) {
        seen = raw;
    } else {
        even = false;
    }
    if (!captured) return captured;
    return announced_all;
}

Status Capturer::State::look_until_even() {
    for (int looks = 0; looks < kUnsettledLooksMax; ++looks) {
        if (nothing_new()) return ok_status();
        TANIST_TRY(look());
    }
    return Error{Errc::busy, handle.path() + ": the wal-index does not settle"};
}

// Makes finished records visible, then tells the applications' side how far capture is.
Status Capturer::State::announce() {
    if (unpublished) {
        TANIST_TRY(log.publish());
        unpublished = false;
        forget_clean_stop();
    }
    if (!prepared) settled = log.end().position;
    control->committed_lsn.store(settled.lsn.value, std::memory_order_release);
    // After it: who sees the slot settled knows that what was refused is taken back up to there.
    if (settle_due) settle_slot();
    CapturedPoint point;
    point.salt1 = known.wal.salt1;
    point.salt2 = known.wal.salt2;
    point.frame = known.wal.frame;
    point.change = known.wal.change;
    point.position = settled;
    const bool same = point.salt1 == announced.salt1 && point.salt2 == announced.salt2 &&
                      point.frame == announced.frame && point.change == announced.change &&
                      point.position == announced.position;
    if (same) return ok_status();
    control.set_captured(point);
    announced = point;
    return ok_status();
}

}  // namespace tanist
