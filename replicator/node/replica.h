// The replica: receive, log, apply, sync, put together, serving one endpoint.
//
// Threads: net (owns the link and the Receiver), log (append and group fdatasync), apply (the
// database; also installs a sync). Queues between them are bounded by the credit window.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/base/result.h"
#include "replicator/control/settings.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

struct ReplicaOptions {
    std::string db_path;
    Settings settings;
    bool replace = false;  // overwrite a database that is not a replica
};

class Replica {
  public:
    static Result<std::unique_ptr<Replica>> start(const SqliteApi& api, ReplicaOptions options);
    ~Replica();
    void stop(Nanos patience);  // applies what is logged, acknowledges, says goodbye
    bool finished(std::string* reason) const;
    void wait_finished(int wake_fd);
    std::vector<std::string> endpoints() const;  // as bound
    // tanist:// addresses, with an open invitation, of a node that waits to be added.
    std::vector<std::string> invitations() const;
    std::string status_json() const;

  private:
    struct State;
    explicit Replica(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
