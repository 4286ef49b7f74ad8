// How the elections stand on this node, as JSON for the status. Times are of the boot clock
// (…_ns); control/status.cc makes seconds of them.
#pragma once

#include <functional>
#include <string>

#include "failover/core/node.h"
#include "replicator/node/voter_list.h"

namespace tanist {

struct FailoverFacts {
    const VoterList& list;
    const failover::NodeView& view;
    NodeKey self;
    failover::Gate gate;
    failover::LogState log;
    Instant now;
};

std::string failover_status(const FailoverFacts& facts,
                            const std::function<Instant(const NodeKey&)>& heard_at);

}  // namespace tanist
