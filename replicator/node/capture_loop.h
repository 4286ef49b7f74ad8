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
#include <mutex>
#include <string>
#include <thread>

#include "replicator/base/event.h"
#include "replicator/capture/capturer.h"
#include "replicator/control/layout.h"
#include "replicator/control/settings.h"
#include "replicator/node/archive_loop.h"
#include "replicator/node/file_watch.h"
#include "replicator/node/log_syncer.h"
#include "replicator/node/wal_floor.h"

namespace tanist {

struct CaptureLoopOptions {
    Layout layout;
    Settings settings;
    Epoch epoch;
    bool database_is_at_log_end = false;  // see CaptureOptions
    bool barrier = false;                 // see CaptureOptions
    // Called on the capture thread when CaptureView::failing has become true.
    std::function<void()> in_trouble = {};
    // Null: the log is not archived. Must outlive the loop.
    ArchiveLoop* archive = nullptr;
};

// What other threads read.
struct CaptureView {
    std::atomic<uint64_t> log_bytes{0};   // running total of record bytes appended
    std::atomic<uint64_t> needed_lsn{0};  // set by the ship thread: retention keeps it; 0 unknown
    std::atomic<int64_t> last_commit_ns{0};
    std::atomic<uint64_t> barriers_done{0};
    std::atomic<bool> failing{false};  // the disk answers with errors
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
    // For commits that somebody waits for: looks on the calling thread, and after it syncs what was
    // asked for, or has it synced where the disk is slow. Where the capture thread is at work, it
    // looks again instead. `log_grew` is not called for what was found here.
    void look_here();
    void sync_from_here();
    // See Capturer::settle_under_write_lock().
    Status settle_under_write_lock();
    FileWatch& watch() { return watch_; }

  private:
    void run();
    bool look();  // one poll; true when something was captured or settled
    bool look_and_tell();
    void mark_epoch();
    bool note_and_look();
    void sync_as_asked(bool here = false);
    bool sync_is_over();
    bool begin_sync(bool here = false);
    bool sync_here(LogSync& task);
    void durable_through(Lsn lsn);  // any thread
    void tell_switch();
    void set_failing();
    void rest(bool captured);
    bool is_chimed_for() const;
    void sleep_until_rung();
    bool look_again(Nanos& longest);
    void maintain();
    void sync_now_and_then(Instant now);
    Lsn needed() const;
    void tell_archive();

    const SqliteApi& api_;
    CaptureLoopOptions options_;
    Log& log_;
    Control& control_;
    std::function<void()> log_grew_;
    CaptureView view_;
    FileWatch watch_;
    // Held for each look and what follows from it; guards the handles, the log's writing end and
    // everything from here to `syncer_` but for the capture thread's rest.
    std::mutex looking_;
    std::unique_ptr<SqliteHandle> handle_;
    std::unique_ptr<SqliteHandle> checkpoints_;
    std::unique_ptr<Capturer> capturer_;
    std::atomic<bool> stopping_{false};
    std::atomic<uint64_t> barriers_asked_{0};
    std::atomic<bool> epoch_record_due_{false};
    std::atomic<int64_t> chimed_ns_{0};  // boot clock; when somebody chimed last
    uint32_t bell_seen_ = 0;             // the bell word before the last look
    Nanos nap_{0};
    int quiet_looks_ = 0;
    Instant maintained_{0};
    WalFloor wal_floor_;
    uint64_t archivable_ = 0;  // durable_lsn when the archive was told of it
    Instant synced_{0};
    uint32_t syncs_asked_ = 0;  // before the last look
    uint32_t syncs_begun_ = 0;  // ControlBlock::local_sync_asked when a sync for it was begun
    uint64_t synced_wal_ = 0;   // salts of the WAL of which the log has something durable
    bool syncing_ = false;      // the syncer has a task
    Nanos sync_took_{0};        // the last one
    std::string problem_;
    bool capture_fails_ = false;
    bool sync_fails_ = false;
    LogSyncer syncer_;
    std::thread thread_;
};

}  // namespace tanist
