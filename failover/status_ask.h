// Asking a daemon for its status over the network.
#pragma once

#include <string>

#include "replicator/base/clock.h"
#include "replicator/base/result.h"

namespace tanist {

// The daemon's JSON. unreachable: no answer in time.
Result<std::string> ask_status(const std::string& endpoint, Nanos timeout);

}  // namespace tanist
