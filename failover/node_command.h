// Commands that the daemon of a node carries out: sent through its admin socket, answered with
// JSON. Who may open that socket may command the node.
#pragma once

#include <string>

#include "failover/output.h"
#include "replicator/base/clock.h"

namespace tanist {

// `target`: a database, whose daemon is asked; or the endpoint (ipc://) of an admin socket.
// `starting`: when no daemon serves the database, one is started in the background.
struct CommandAsk {
    std::string target;
    Json command;
    bool starting = false;
    Nanos patience{};
};
// The answer, when the daemon did what it was told; `whole`, when given, gets it in either case.
// Else an error: refused, unreachable, or what
// the daemon reported; unknown_outcome when it was told and did not answer in time.
Result<Json> command_node(const CommandAsk& ask, Json* whole = nullptr);

// posix_engine.cc

// Starts `tanistd --engine --db DB`, which detaches itself; returns when it has.
Status start_engine(const std::string& db);

}  // namespace tanist
