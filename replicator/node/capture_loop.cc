#include "replicator/node/capture_loop.h"

#include <algorithm>

#include "replicator/base/notes.h"
#include "replicator/base/priority.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kNapShortest = 300us;
constexpr Nanos kNapLongest = 1ms;
// More than this many commits in one look: naps grow.
constexpr uint64_t kBusyCommits = 16;
// Looks in a row that found nothing before the bell is armed.
constexpr int kQuietLooks = 3;
constexpr Nanos kSleepLongest = 1s;  // the engine's beat
// A file watch fires before the commit is visible: look again this often, this many times.
constexpr Nanos kAfterWatch = 200us;
constexpr Nanos kMaintainEvery = 100ms;
// Nobody waits for this log to be durable, and what is recycled before the next sync never has to
// reach the disk, which the application needs for its own syncs.
constexpr Nanos kSyncEvery = 1s;
constexpr Nanos kSyncEveryInStorm = 5s;
constexpr Nanos kQuietFor = 200ms;

}  // namespace

CaptureLoop::CaptureLoop(const SqliteApi& api, CaptureLoopOptions options, Log& log,
                         Control& control, std::function<void()> log_grew)
    : api_(api),
      options_(std::move(options)),
      log_(log),
      control_(control),
      log_grew_(std::move(log_grew)),
      nap_(kNapShortest) {}

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
        bool captured = look_and_tell();
        bool passed = problem_.empty() && view_.barriers_done.load() != barriers;
        if (passed) view_.barriers_done.store(barriers);
        if (passed) log_grew_();
        if (epoch_record_due_.load()) mark_epoch();
        maintain();
        if (barriers_asked_.load() == barriers) rest(captured);
    }
}

void CaptureLoop::mark_epoch() {
    auto appended = capturer_->append_epoch_record();
    if (!appended || !*appended) return;
    epoch_record_due_.store(false);
    sync_log();
    log_grew_();
}

// What is asked for before the look is in the log after it. The replicas sync theirs meanwhile.
bool CaptureLoop::look_and_tell() {
    const uint32_t asked = control_->local_sync_asked.load(std::memory_order_seq_cst);
    const bool captured = look();
    if (captured) log_grew_();
    if (asked != syncs_done_) {
        syncs_done_ = asked;
        sync_log();
    }
    return captured;
}

void CaptureLoop::sync_log() {
    synced_ = boot_now();
    if (auto synced = log_.sync(); synced) durable_through(synced->position.lsn);
}

// Of two syncs the one that began first may end last.
void CaptureLoop::durable_through(Lsn lsn) {
    if (lsn.value <= control_->durable_lsn.load(std::memory_order_relaxed)) return;
    control_->durable_lsn.store(lsn.value, std::memory_order_release);
    control_.bump_acks();
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

void CaptureLoop::rest(bool captured) {
    quiet_looks_ = captured ? 0 : quiet_looks_ + 1;
    bool restless = capturer_->restless();
    if (quiet_looks_ >= kQuietLooks && !restless) {
        sleep_until_rung();
        return;
    }
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::napping));
    futex_wait(&control_->bell, bell_seen_, restless ? kNapShortest : nap_);
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::awake));
}

void CaptureLoop::sleep_until_rung() {
    uint32_t bell = control_->bell.load();
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::asleep));
    watch_.arm(options_.layout.db + "-wal");
    if (look_and_tell()) {
        quiet_looks_ = 0;
    } else if (!stopping_.load()) {
        futex_wait(&control_->bell, bell, problem_.empty() ? kSleepLongest : 50ms);
        // Rung by a commit, or by the watch before the commit is visible: stay armed and look
        // a few times, until the next rest.
        for (int i = 0; i < 5 && control_->bell.load() == bell + 1; ++i) {
            if (look_and_tell()) {
                quiet_looks_ = 0;
                break;
            }
            futex_wait(&control_->bell, bell + 1, kAfterWatch);
        }
    }
    control_->bell_mode.store(static_cast<uint32_t>(BellMode::awake));
}

void CaptureLoop::maintain() {
    Instant now = boot_now();
    control_->engine_beat_ns.store(now.ns, std::memory_order_relaxed);
    if (now - maintained_ < kMaintainEvery) return;
    maintained_ = now;
    Lsn needed{view_.needed_lsn.load()};
    if (auto kept = log_.retain(needed, options_.settings.log_segment_bytes * 4); !kept)
        note(NoteLevel::warning, "log retention failed", {{"reason", kept.error().message}});
    LogStat stat = log_.stat();
    control_->log_bytes.store(stat.bytes, std::memory_order_relaxed);
    control_->log_first_lsn.store(stat.first.value, std::memory_order_relaxed);
    sync_log_elsewhere(now);
}

void CaptureLoop::sync_log_elsewhere(Instant now) {
    if (auto done = syncer_.take()) {
        auto synced = log_.end_sync(done->task, done->outcome);
        if (synced) durable_through(*synced);
    }
    const bool quiet = now - Instant{view_.last_commit_ns.load()} > kQuietFor;
    const bool due = now - synced_ >= (quiet ? kSyncEvery : kSyncEveryInStorm) &&
                     control_->durable_lsn.load() < log_.end().position.lsn.value;
    auto begun = log_.begin_sync(due);
    if (!begun || !*begun) return;
    if (due) synced_ = now;
    syncer_.put(std::move(**begun));
}

}  // namespace tanist
