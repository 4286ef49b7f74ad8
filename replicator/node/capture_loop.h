// The capture thread: from the bell to the log. It decides only when to look; what it finds there
// is the Capturer's business.
//
// Pacing. After a commit it naps for a moment that grows with the rate, so that a busy writer is
// not rung for by every commit and the log and the replicas get batches; when nothing came, it arms
// the bell and the file watch and sleeps. A lone commit is therefore captured at once, a storm in
// batches of about a millisecond; longer ones would let the WAL grow, whose restart waits for them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "replicator/base/event.h"
#include "replicator/capture/capturer.h"
#include "replicator/control/layout.h"
#include "replicator/control/settings.h"
#include "replicator/node/file_watch.h"
#include "replicator/node/log_syncer.h"

namespace tanist {

struct CaptureLoopOptions {
    Layout layout;
    Settings settings;
    Epoch epoch;
    bool database_is_at_log_end = false;  // see CaptureOptions
    bool barrier = false;                 // see CaptureOptions
};

// What other threads read.
struct CaptureView {
    std::atomic<uint64_t> log_bytes{0};   // running total of record bytes appended
    std::atomic<uint64_t> needed_lsn{0};  // set by the ship thread: retention keeps it; 0 unknown
    std::atomic<int64_t> last_commit_ns{0};
    std::atomic<uint64_t> barriers_done{0};
};

class CaptureLoop {
  public:
    // `log_grew` is called on the capture thread after each publish.
    CaptureLoop(const SqliteApi& api, CaptureLoopOptions options, Log& log, Control& control,
                std::function<void()> log_grew);
    ~CaptureLoop();
    Status start();  // opens the database and the capturer; then runs the thread
    void stop();     // captures what is visible, writes the clean stop
    const CaptureView& view() const { return view_; }
    void set_needed(Lsn lsn) { view_.needed_lsn.store(lsn.value, std::memory_order_relaxed); }
    // Everything visible when this is called is in the log once barrier_passed(number).
    uint64_t request_barrier();
    // An EPOCH record of the present epoch, as soon as no commit is held back.
    void request_epoch_record();
    bool barrier_passed(uint64_t number) const { return view_.barriers_done.load() >= number; }
    void wake();  // look now
    FileWatch& watch() { return watch_; }

  private:
    void run();
    bool look();  // one poll; true when something was captured or settled
    bool look_and_tell();
    void sync_log();
    void mark_epoch();
    void durable_through(Lsn lsn);
    void tell_switch();
    void rest(bool captured);
    void sleep_until_rung();
    void maintain();
    void sync_log_elsewhere(Instant now);

    const SqliteApi& api_;
    CaptureLoopOptions options_;
    Log& log_;
    Control& control_;
    std::function<void()> log_grew_;
    CaptureView view_;
    FileWatch watch_;
    std::unique_ptr<SqliteHandle> handle_;
    std::unique_ptr<SqliteHandle> checkpoints_;
    std::unique_ptr<Capturer> capturer_;
    std::atomic<bool> stopping_{false};
    std::atomic<uint64_t> barriers_asked_{0};
    std::atomic<bool> epoch_record_due_{false};
    uint32_t bell_seen_ = 0;  // the bell word before the last look
    Nanos nap_{0};
    int quiet_looks_ = 0;
    Instant maintained_{0};
    Instant synced_{0};
    uint32_t syncs_done_ = 0;  // ControlBlock::local_sync_asked when the log was last synced for it
    LogSyncer syncer_;
    std::string problem_;
    std::thread thread_;
};

}  // namespace tanist
