#include "replicator/node/capture_loop.h"

#include <algorithm>
#include <utility>

#include "replicator/base/notes.h"
#include "replicator/base/priority.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kNapShortest = 300us;
constexpr Nanos kNapLongest = 1ms;
// More than this many commits in one look: naps grow.
constexpr uint64_t kBusyCommits = 16;
// Looks in a row that found nothing before the bell is armed; while somebody chimes, and the ship
// thread captures, one is enough.
constexpr int kQuietLooks = 3;
constexpr Nanos kSleepLongest = 1s;  // the engine's beat
constexpr Nanos kSleepInTrouble = 50ms;
// A file watch fires before the commit is visible: look again this often, this many times.
constexpr Nanos kAfterWatch = 200us;
// Whoever chimes tells of each commit; a watch would wake two threads for each of its writes. So
// for so long after a chime the file is looked at now and then instead.
constexpr Nanos kChimesFor = 20ms;
constexpr Nanos kLookBetweenChimes = 2ms;
constexpr Nanos kMaintainEvery = 100ms;
// Nobody waits for this log to be durable, and what is recycled before the next sync never has to
// reach the disk, which the application needs for its own syncs.
constexpr Nanos kSyncEvery = 1s;
constexpr Nanos kSyncEveryInStorm = 5s;
constexpr Nanos kQuietFor = 200ms;
// A disk whose last sync took less is waited for where the ship thread would else wake another.
constexpr Nanos kQuickSync = 3ms;

}  // namespace

CaptureLoop::CaptureLoop(const SqliteApi& api, CaptureLoopOptions options, Log& log,
                         Control& control, std::function<void()> log_grew)
    : api_(api),
      options_(std::move(options)),
      log_(log),
      control_(control),
      log_grew_(std::move(log_grew)),
      nap_(kNapShortest),
      wal_floor_(log),
      syncer_([this](Lsn lsn) { durable_through(lsn); }, [this] { wake(); }) {}

CaptureLoop::~CaptureLoop() { stop(); }

Status CaptureLoop::start() {
    SqliteHandle::Options open{.create = true, .switch_to_wal = true, .busy_timeout_ms = 5000};
    auto handle = SqliteHandle::open(api_, options_.layout.db, open);
    if (!handle) return std::move(handle).error();
    handle_ = std::move(handle).value();
    tell_switch();
    auto checkpoints = SqliteHandle::open(api_, options_.layout.db, {});
    if (!checkpoints) return std::move(checkpoints).error();
    checkpoints_ = std::move(checkpoints).value();
    CaptureOptions capture{.wal_bytes_max = options_.settings.wal_bytes_max,
                           .epoch = options_.epoch,
                           .clean_stop_path = options_.layout.clean_stop(),
                           .database_is_at_log_end = options_.database_is_at_log_end,
                           .barrier = options_.barrier};
    auto capturer = Capturer::start(*handle_, *checkpoints_, log_, control_, capture);
    if (!capturer) return std::move(capturer).error();
    capturer_ = std::move(capturer).value();
    thread_ = std::thread([this] { run(); });
    return ok_status();
}

void CaptureLoop::tell_switch() {
    const std::string& from = handle_->switched_from();
    control_.set_notice("");
    if (from.empty()) return;
    control_.set_notice(options_.layout.db + " was in journal mode '" + from +
                        "' and was switched to WAL, which replication needs");
    note(NoteLevel::warning, "switched to WAL, which replication needs",
         {{"database", options_.layout.db}, {"from", from}});
}

void CaptureLoop::stop() {
    if (!thread_.joinable()) return;
    stopping_.store(true);
    wake();
    thread_.join();
    const std::lock_guard lock(looking_);
    while (look()) {
    }
    if (auto closed = capturer_->close_cleanly(); !closed)
        note(NoteLevel::warning, "clean stop not recorded", {{"reason", closed.error().message}});
    capturer_.reset();
}

uint64_t CaptureLoop::request_barrier() {
    uint64_t number = barriers_asked_.fetch_add(1) + 1;
    wake();
    return number;
}

void CaptureLoop::request_epoch_record() {
    epoch_record_due_.store(true);
    wake();
}

void CaptureLoop::wake() { control_.ring(true); }

void CaptureLoop::run() {
    run_soon_after_waking();
    while (!stopping_.load()) {
        // Read before the look: whoever rings after it, for what the look missed, ends the nap.
        bell_seen_ = control_->bell.load();
        uint64_t barriers = barriers_asked_.load();
        bool captured;
        {
            const std::lock_guard lock(looking_);
            captured = look_and_tell();
            bool passed = problem_.empty() && view_.barriers_done.load() != barriers;
            if (passed) view_.barriers_done.store(barriers);
            if (passed) log_grew_();
            if (epoch_record_due_.load()) mark_epoch();
            maintain();
        }
        if (barriers_asked_.load() == barriers) rest(captured);
    }
}

// Requires: looking_.
void CaptureLoop::mark_epoch() {
    auto appended = capturer_->append_epoch_record();
    if (!appended || !*appended) return;
    epoch_record_due_.store(false);
    log_grew_();
    static_cast<void>(begin_sync());
}

// The replicas sync their logs while this node does.
bool CaptureLoop::look_and_tell() {
    const bool captured = note_and_look();
    if (captured) log_grew_();
    sync_as_asked();
    return captured;
}

// Whoever asked for a sync before the look has their commit in the log after it.
bool CaptureLoop::note_and_look() {
    syncs_asked_ = control_->local_sync_asked.load(std::memory_order_seq_cst);
    return look();
}

// After a power cut the database is looked for in the log by its WAL's salt (own_tail.h). So some
// of each WAL is made durable in the log.
void CaptureLoop::sync_as_asked(bool here) {
    const CapturedPoint captured = control_.captured();
    const uint64_t wal = uint64_t{captured.salt1} << 32 | captured.salt2;
    if (syncs_asked_ == syncs_begun_ && wal == synced_wal_) return;
    if (!begin_sync(here) || !capturer_->took_all()) return;
    syncs_begun_ = syncs_asked_;
    synced_wal_ = wal;
}

void CaptureLoop::look_here() {
    chimed_ns_.store(boot_now().ns, std::memory_order_relaxed);
    const std::unique_lock lock(looking_, std::try_to_lock);
    if (!lock.owns_lock())
        wake();
    else if (capturer_)
        note_and_look();
}

void CaptureLoop::sync_from_here() {
    const std::unique_lock lock(looking_, std::try_to_lock);
    if (!lock.owns_lock())
        wake();
    else if (capturer_)
        sync_as_asked(true);
}

Status CaptureLoop::settle_under_write_lock() {
    const std::lock_guard lock(looking_);
    const Lsn before = capturer_->captured();
    Status settled = capturer_->settle_under_write_lock();
    if (capturer_->captured() != before) log_grew_();
    return settled;
}

// False: of what is in the log, some is being synced since before it was there, or the log fails.
bool CaptureLoop::begin_sync(bool here) {
    if (!sync_is_over()) return false;
    auto begun = log_.begin_sync(true);
    sync_fails_ = !begun;
    if (!begun) return false;
    if (!*begun) return true;  // all is durable
    synced_ = boot_now();
    if (here && sync_took_ < kQuickSync) return sync_here(**begun);
    syncing_ = true;
    syncer_.put(std::move(**begun));
    return true;
}

bool CaptureLoop::sync_here(LogSync& task) {
    Status outcome = task.run();
    sync_took_ = boot_now() - synced_;
    auto synced = log_.end_sync(task, outcome);
    sync_fails_ = !synced;
    if (synced) durable_through(*synced);
    return synced.ok();
}

// When it is not, the syncer wakes this thread at its end.
bool CaptureLoop::sync_is_over() {
    if (!syncing_) return true;
    syncer_.ask_again();
    auto done = syncer_.take();
    if (!done) return false;
    syncing_ = false;
    sync_took_ = done->took;
    auto synced = log_.end_sync(done->task, done->outcome);
    sync_fails_ = !synced;
    if (synced) durable_through(*synced);
    return true;
}

void CaptureLoop::durable_through(Lsn lsn) {
    std::atomic<uint64_t>& durable = control_->durable_lsn;
    uint64_t known = durable.load(std::memory_order_relaxed);
    while (known < lsn.value &&
           !durable.compare_exchange_weak(known, lsn.value, std::memory_order_release)) {
    }
    control_.bump_acks(true);
}

bool CaptureLoop::look() {
    Lsn before = capturer_->captured();
    Lsn committed = capturer_->committed();
    auto progress = capturer_->poll();
    std::string problem;
    bool captured = false;
    if (progress) {
        view_.log_bytes.fetch_add(progress->bytes, std::memory_order_relaxed);
        if (progress->commits > 0 || progress->rebased) {
            view_.last_commit_ns.store(boot_now().ns, std::memory_order_relaxed);
            if (progress->commits > kBusyCommits)
                nap_ = std::min(kNapLongest, nap_ * 2);
            else if (progress->commits < kBusyCommits / 2)
                nap_ = std::max(kNapShortest, nap_ / 2);
        }
        if (progress->rebased) {
            note(NoteLevel::warning, "gap in the captured history, replicas will delta-sync",
                 {{"reason", progress->reason}});
        }
    } else {
        problem = progress.error().message;
    }
    capture_fails_ =
        !progress && (progress.error().code == Errc::io || progress.error().code == Errc::no_space);
    set_failing();
    if (auto tended = capturer_->tend_wal(); !tended && problem.empty())
        problem = tended.error().message;
    // What tend_wal() captured is counted by the next poll(), but shipped now.
    captured = capturer_->captured() != before || capturer_->committed() != committed;
    if (problem != problem_) {
        problem_ = problem;
        control_.set_problem(problem);
        if (!problem.empty()) note(NoteLevel::error, "capture is held up", {{"reason", problem}});
    }
    return captured;
}

void CaptureLoop::set_failing() {
    const bool failing = capture_fails_ || sync_fails_;
    if (view_.failing.exchange(failing) != failing && failing && options_.in_trouble) {
        options_.in_trouble();
    }
}

void CaptureLoop::rest(bool captured) {
    quiet_looks_ = captured ? 0 : quiet_looks_ + 1;
    bool restless;
    Nanos nap;
    {
        const std::lock_guard lock(looking_);
        restless = capturer_->restless();
        nap = restless ? kNapShortest : nap_;
    }
    const int enough = is_chimed_for() ? 1 : kQuietLooks;
    if (quiet_looks_ >= enough && !restless) {
        sleep_until_rung();
        return;
    }
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::napping));
    futex_wait(&control_->bell, bell_seen_, nap);
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::awake));
}

bool CaptureLoop::is_chimed_for() const {
    return boot_now() - Instant{chimed_ns_.load(std::memory_order_relaxed)} < kChimesFor;
}

void CaptureLoop::sleep_until_rung() {
    if (is_chimed_for()) {
        control_->bell_mode.store(static_cast<uint32_t>(BellMode::asleep));
        futex_wait(&control_->bell, bell_seen_, kLookBetweenChimes);
        control_->bell_mode.store(static_cast<uint32_t>(BellMode::awake));
        return;
    }
    uint32_t bell = control_->bell.load();
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::asleep));
    watch_.arm(options_.layout.db + "-wal");

    Nanos longest = kSleepLongest;
    if (look_again(longest)) {
        quiet_looks_ = 0;
    } else if (!stopping_.load()) {
        futex_wait(&control_->bell, bell, longest);
        // Rung by a commit, or by the watch before the commit is visible: stay armed and look
        // a few times, until the next rest.
        for (int i = 0; i < 5 && control_->bell.load() == bell + 1; ++i) {
            if (look_again(longest)) {
                quiet_looks_ = 0;
                break;
            }
            futex_wait(&control_->bell, bell + 1, kAfterWatch);
        }
    }
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::awake));
}

// `longest`: how long one may sleep after it.
bool CaptureLoop::look_again(Nanos& longest) {
    const std::lock_guard lock(looking_);
    const bool captured = look_and_tell();
    longest = problem_.empty() ? kSleepLongest : kSleepInTrouble;
    return captured;
}

void CaptureLoop::maintain() {
    Instant now = boot_now();
    control_->engine_beat_ns.store(now.ns, std::memory_order_relaxed);
    if (now - maintained_ < kMaintainEvery) return;
    maintained_ = now;
    tell_archive();
    wal_floor_.saw(control_.captured());
    if (auto kept = log_.retain(needed(), options_.settings.log_segment_bytes * 4); !kept)
        note(NoteLevel::warning, "log retention failed", {{"reason", kept.error().message}});
    LogStat stat = log_.stat();
    control_->log_bytes.store(stat.bytes, std::memory_order_relaxed);
    control_->log_first_lsn.store(stat.first.value, std::memory_order_relaxed);
    sync_now_and_then(now);
}

// By a replica, the archive, or this node after a power cut; zero: not yet known.
Lsn CaptureLoop::needed() const {
    const Lsn here = std::min(Lsn{view_.needed_lsn.load()}, wal_floor_.needed());
    return options_.archive == nullptr ? here : std::min(here, options_.archive->needs());
}

void CaptureLoop::tell_archive() {
    if (options_.archive == nullptr) return;
    const uint64_t durable = control_->durable_lsn.load();
    if (std::exchange(archivable_, durable) != durable) options_.archive->look_again();
}

void CaptureLoop::sync_now_and_then(Instant now) {
    if (!sync_is_over()) return;
    const bool quiet = now - Instant{view_.last_commit_ns.load()} > kQuietFor;
    const bool due = now - synced_ >= (quiet ? kSyncEvery : kSyncEveryInStorm) &&
                     control_->durable_lsn.load() < log_.end().position.lsn.value;
    if (due) {
        begin_sync();
        return;
    }
    // A segment's head alone, for retain().
    auto begun = log_.begin_sync(false);
    if (!begun || !*begun) return;
    syncing_ = true;
    syncer_.put(std::move(**begun));
}

}  // namespace tanist
