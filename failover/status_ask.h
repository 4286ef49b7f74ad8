// Asking a daemon for its status over the network.
#pragma once

#include <string>

#include "replicator/base/clock.h"
#include "replicator/base/result.h"
#include "replicator/control/identity.h"
#include "replicator/control/node_address.h"

namespace tanist {

// The daemon's JSON. unreachable: no answer in time.
Result<std::string> ask_status(const std::string& endpoint, Nanos timeout);
// The same over CURVE, as `self`, of the node with that key and no other.
Result<std::string> ask_status(const NodeAddress& node, const Identity& self, Nanos timeout);

}  // namespace tanist
