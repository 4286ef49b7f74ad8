// Capture: from SQLite's wal-index to the log. The wal-index header is the truth about commits, not
// the bytes of the WAL (sqlite-facts 0.1). One Capturer per database, on the engine's capture
// thread; it owns the log's writing end while it lives.
//
// A commit that its writer holds back until replicas have it (control_block.h, ControlPrepare) is
// logged while it is invisible. It is always the last record: before anything else is appended, it
// has become visible, or an ABORT takes it back.
//
// poll() is cheap when nothing happened: one look at shared memory. What it decides is in
// capture_rule.h (pure); this class reads frames, appends records and holds the pin.
#pragma once

#include <memory>
#include <string>

#include "replicator/base/result.h"
#include "replicator/control/control_block.h"
#include "replicator/log/log.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {

struct CaptureOptions {
    uint64_t wal_bytes_max = 64u << 20;  // beyond it the engine restarts the WAL itself
    Epoch epoch;                         // of this primacy
    std::string clean_stop_path;         // Layout::clean_stop()
    // The caller knows that the database is exactly at the log's end: an applied replica that was
    // just promoted, before anybody may write. The log's WAL points are then another machine's.
    bool database_is_at_log_end = false;
    // An elected primary's: the EPOCH record is appended even to an empty log, because its commit
    // is what makes everything before it committed.
    bool barrier = false;
};

struct CaptureProgress {
    uint64_t commits = 0;  // appended by this call
    uint64_t bytes = 0;
    bool rebased = false;  // a gap was found: a REBASE record was appended
    std::string reason;    // why
};

class Capturer {
  public:
    // `handle` holds slots (the pin); `checkpoints` runs SQL. Both on the same database and owned
    // by the caller, like log and control. Resumes after the log's last record; appends EPOCH when
    // options.epoch is newer than the log's, REBASE when continuity cannot be proved.
    static Result<std::unique_ptr<Capturer>> start(SqliteHandle& handle, SqliteHandle& checkpoints,
                                                   Log& log, Control& control,
                                                   const CaptureOptions& options);
    ~Capturer();  // lets the pin go
    // Captures every commit that is visible now and publishes it. no_space: the log is full; the
    // WAL keeps what was not captured, and poll() goes on from there when called again.
    Result<CaptureProgress> poll();
    // Takes the pin when it is not held, restarts the WAL when it has been checkpointed and is
    // long, or when it exceeds wal_bytes_max.
    Status tend_wal();
    // Another EPOCH record of this epoch. False: not now, a commit is held back.
    Result<bool> append_epoch_record();
    // The caller holds SQLite's write lock, so no writer lives that holds a commit back: one that
    // is in the log and was left invisible is taken back.
    Status settle_under_write_lock();
    // Records where the database stands at a clean stop, so that the next start need not rebase.
    Status close_cleanly();

    Lsn captured() const;  // any thread
    // Every record up to here is visible, or taken back by an ABORT up to here. Below captured()
    // while the last record is a commit that its writer still holds back.
    Lsn committed() const;  // any thread
    // True while the pin is away, or a restart is being prepared: call poll() and tend_wal() again
    // within a millisecond instead of sleeping.
    bool restless() const;
    // Whatever the last look found is in the log, also a commit that is held back.
    bool took_all() const;

  private:
    struct State;
    explicit Capturer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
