// The primary's engine: capture, log, shipping, put together. One per database, whoever holds the
// flock on ship.lock; hosted by tanistd or, with ship=thread, by a thread of the application.
//
// Threads: capture (owns the SqliteHandles, the Capturer and the log's writing end), ship (owns
// every socket and Follower), sync (reads pages for delta syncs). They meet in the log, in one
// small mailbox each, and in the control block.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "failover/core/standing.h"
#include "replicator/base/clock.h"
#include "replicator/base/result.h"
#include "replicator/control/settings.h"
#include "replicator/node/role_host.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

struct EngineOptions {
    std::string db_path;
    Settings settings;
    bool leave_when_idle = false;  // started by the extension
    // Whose link and flock it borrows; null: its own. Must outlive the engine.
    RoleHost* host = nullptr;
    // Just promoted: see CaptureOptions. The role in the control block is then left as it is, for
    // the caller to open the gate when the engine runs.
    bool database_is_at_log_end = false;
    // Not behind its log, though its WAL may say nothing that the log knows: it was a replica's
    // until a promotion that was cut short.
    bool database_has_log = false;
    // Where voters elect. Epochs begin with a token only; an engine without one ships nothing.
    bool elected = false;
    bool holds_epoch = true;
};

class Engine {
  public:
    // Takes the flock, unless it has a host. busy: another engine serves this database (its pid is
    // in the message).
    static Result<std::unique_ptr<Engine>> start(const SqliteApi& api, EngineOptions options);
    ~Engine();
    // Ships what is captured, bounded by `patience`, then stops. Idempotent.
    void stop(Nanos patience);
    // Time to leave: idle long enough (leave_when_idle), or superseded.
    bool finished(std::string* reason) const;
    void wait_finished(int wake_fd);  // returns when finished or wake_fd is readable
    // Without a host: a higher epoch was heard of, and writes are refused here from then on, by the
    // control block and the node file. Nobody makes it a replica before a tanistd is started.
    bool superseded() const;
    std::vector<std::string> endpoints() const;  // as bound; none unless settings.listen
    std::string status_json() const;
    uint64_t members_kept() const;  // see ShipLoop
    LogPoint log_end() const;
    failover::LogState log_state() const;  // for elections; any thread
    bool log_was_short() const;            // an elected primary's was gone, or cut, at the start
    Status sync_log();                     // everything that it holds, now
    Status settle_under_write_lock();      // see Capturer
    void append_barrier();                 // an EPOCH record of this epoch, soon
    // A message of the failover protocol for a member with which there is a session; lost when
    // there is none. Any thread.
    void tell(const std::string& endpoint, Bytes vote);

  private:
    struct State;
    explicit Engine(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
