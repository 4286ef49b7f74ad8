// The replica: receive, log, apply, sync, put together, serving one endpoint.
//
// Threads: net (owns the link and the Receiver), log (append and group fdatasync), apply (the
// database; also installs a sync). Queues between them are bounded by the credit window.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "failover/core/standing.h"
#include "replicator/base/clock.h"
#include "replicator/base/result.h"
#include "replicator/control/settings.h"
#include "replicator/node/role_host.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

struct ReplicaOptions {
    std::string db_path;
    Settings settings;
    bool replace = false;      // overwrite a database that is not a replica
    RoleHost* host = nullptr;  // its link and flock are borrowed; must outlive the replica
};

// A node that only programs of this machine can reach shares it with them.
bool stays_on_this_machine(const std::vector<std::string>& endpoints);

class Replica {
  public:
    static Result<std::unique_ptr<Replica>> start(const SqliteApi& api, ReplicaOptions options);
    ~Replica();
    // Stops, with everything that was received applied, whether or not a primary said that it is
    // committed. refused: the log does not lead the database to its end, or it does not end at
    // `wanted`; nothing was lost.
    Status finish(const std::optional<LogPoint>& wanted);
    // Where its log is, for elections; any thread, until it is stopped.
    failover::LogState log_state() const;
    bool log_was_short() const;  // when it was started; see ApplyLoop
    void stop(Nanos patience);   // applies what is logged, acknowledges, says goodbye
    // tanist:// addresses, with an open invitation, of a node that waits to be added.
    std::vector<std::string> invitations() const;

  private:
    struct State;
    explicit Replica(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
