// One daemon's part in one database: the engine of a primary, or a replica, and the change from
// one to the other while the process lives. What outlives a role belongs to the Node: the flock on
// ship.lock, the bound endpoints, the admin socket, and what it is (the node file).
//
//   primary ── fence ──> fenced ── unfence ──> primary
//   primary, fenced ── a higher epoch is found ──> replica, its own records kept
//   replica ── promote ──> primary
//   replica ── its log has what the new primary lacks ──> replica, those records saved
//
// Threads: those of the role, the admin thread, and the node thread, on which alone roles begin
// and end. A change is durable in the node file before the database serves the new role, and begun
// anew after a crash.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/base/result.h"
#include "replicator/control/settings.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

struct NodeOptions {
    std::string db_path;
    Settings settings;
    bool replace = false;          // a new replica: overwrite a database that is none
    bool leave_when_idle = false;  // an engine that the extension started
};

class Node {
  public:
    // Takes the flock, binds, and starts the role that the node file names. refused: another
    // process serves this database.
    static Result<std::unique_ptr<Node>> start(const SqliteApi& api, NodeOptions options);
    ~Node();
    void stop(Nanos patience);  // ships or applies what has come; idempotent
    // The node need not live longer: idle (leave_when_idle), or what broke it.
    bool finished(std::string* reason) const;
    void wait_finished(int wake_fd);  // returns when finished or wake_fd is readable
    Role role() const;
    const std::vector<std::string>& endpoints() const;  // as bound
    // tanist:// addresses, with an open invitation, of a node that waits to be added.
    std::vector<std::string> invitations() const;

  private:
    struct State;
    explicit Node(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
