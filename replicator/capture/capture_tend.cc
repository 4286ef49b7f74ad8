#include <algorithm>

#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/capture/capture_state.h"
#include "replicator/capture/engine_writes.h"

namespace tanist {

namespace {

using namespace std::chrono_literals;

constexpr auto kMarkAgainAfter = 100ms;
constexpr Nanos kLockPatienceAtStop = 100ms;
constexpr uint64_t kLetGoFactor = 4;
// Coarser than any file system's clock: a later write has another time.
constexpr int64_t kFileClockNs = 20'000'000;

}  // namespace

uint64_t Capturer::State::wal_bytes() const {
    if (known.wal.frame == 0) return 0;
    return wal_frame_offset(known.wal.frame + 1, known.page_bytes);
}

Status Capturer::State::tend_wal() {
    const Instant now = boot_now();
    TANIST_TRY(resolve_abandoned(now));
    note_pace(now);
    const bool long_wal = known.wal.frame >= kHoldFrames || wal_bytes() > options.wal_bytes_max;
    if (!long_wal || prepared || log_is_full) checkpoint_lock.give();
    const bool unmarked = !is_marked(known.wal.change);
    if (pin.held() && !long_wal && !unmarked && !log_is_full) return ok_status();
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
    checkpoint_lock.give();
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
    // A write within the same tick of the file system's clock would not show. That clock may have
    // been set back since the last one: then it shows anyhow, and writers are held meanwhile.
    const std::atomic<uint32_t> nothing{0};
    const Instant give_up = boot_now() + Nanos(kFileClockNs);
    while (boot_now() < give_up && unix_now_ns() - stop->db_changed_ns < kFileClockNs) {
        futex_wait(&nothing, 0, Nanos(kFileClockNs / 4));
    }
    TANIST_TRY(replace_file(options.clean_stop_path, encode_clean_stop(*stop)));
    clean_stop_exists = true;
    return ok_status();
}

}  // namespace tanist
