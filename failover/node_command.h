// Commands that the daemon of a node carries out, answered with JSON. On the node's own machine
// they go through its admin socket, and who may open that may command; over the network they go
// over CURVE, and an operator's key may.
#pragma once

#include <string>

#include "failover/output.h"
#include "replicator/base/clock.h"
#include "replicator/control/identity.h"
#include "replicator/control/operator_command.h"

namespace tanist {

// `target`: a database, whose daemon is asked; the endpoint (ipc://) of an admin socket; or the
// tanist:// address of a node, which is asked as `as` (identity_of).
// `starting`: when no daemon serves the database, one is started in the background.
struct CommandAsk {
    std::string target;
    OperatorCommand command;
    std::string as = {};
    bool starting = false;
    Nanos patience{};
};
// The answer, when the daemon did what it was told; `whole`, when given, gets it in either case.
// Else an error: refused, unreachable, or what
// the daemon reported; unknown_outcome when it was told and did not answer in time.
Result<Json> command_node(const CommandAsk& ask, Json* whole = nullptr);

// By which key to speak to a node: the one of an operator's directory, or of a database's node.
Result<Identity> identity_of(const std::string& as);

// posix_engine.cc

// Starts `tanistd --engine --db DB`, which detaches itself; returns when it has.
Status start_engine(const std::string& db);

}  // namespace tanist
