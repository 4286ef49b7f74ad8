// The status of several nodes, asked at once.
#pragma once

#include <string>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/base/ids.h"
#include "replicator/control/layout.h"
#include "replicator/control/members.h"
#include "replicator/control/settings.h"
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
    // Where voters decide.
    bool votes = false;
    Epoch elected;       // of the newest token that it knows
    Nanos withholds{0};  // for how long it votes for nobody (Voter::withholds_until)
    bool leads = false;  // it holds an epoch
    bool suspect = false;
    bool lost_ballot = false;
};

// In the order of `members`, with the keys of this node. Returns when all have answered, or after
// `patience`.
std::vector<PolledStatus> poll_status(const Layout& layout, const Settings& settings,
                                      const std::vector<Member>& members, Nanos patience);

}  // namespace tanist
