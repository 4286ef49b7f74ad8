// The status of several nodes, asked at once.
#pragma once

#include <string>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/base/ids.h"
#include "replicator/log/log.h"

namespace tanist {

struct PolledStatus {
    std::string endpoint;
    bool reached = false;
    std::string cluster, group;  // hex, as in the status
    std::string role;
    Epoch epoch;
    Position log_end;  // of its log, received or captured
    Lsn durable;
    Lsn applied;
};

// In the order of `endpoints`. Returns when all have answered, or after `patience`.
std::vector<PolledStatus> poll_status(const std::vector<std::string>& endpoints, Nanos patience);

}  // namespace tanist
