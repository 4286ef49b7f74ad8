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
    Nanos took{0};               // until its answer was here
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

// How long an operator waits for a sign of life of a node.
constexpr Nanos kPollPatience = std::chrono::seconds(1);

// In the order of `members`, with the keys of this node. Returns when everybody has answered or is
// given up: at once who refuses the connection, after `patience` who gives no sign of life. Who
// gives one, the first byte on a connection, is far away as that shows, and is waited for as long
// as an answer takes from there. That byte comes after one trip there and back; an answer takes
// about six.
std::vector<PolledStatus> poll_status(const Layout& layout, const Settings& settings,
                                      const std::vector<Member>& members, Nanos patience);

}  // namespace tanist
