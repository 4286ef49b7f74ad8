// A new epoch becomes known before its primary opens: each member is greeted in it, and answers
// when the epoch is on its disk and the session of its primary has ended. From then on it confirms
// nothing of a lower epoch, and whoever was the primary of one hears of this one from it; what it
// confirmed before is not beyond the `end` that it answers with.
//
// No message is new: it is the HELLO and WELCOME of a session in which nothing is sent.
#pragma once

#include <string>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/control/ack_rule.h"
#include "replicator/control/layout.h"
#include "replicator/control/members.h"
#include "replicator/control/settings.h"
#include "replicator/log/log.h"

namespace tanist {

struct EpochClaim {
    ClusterId cluster;
    GroupId group;
    Epoch epoch;
    LogPoint end;  // of the claimant's log
};

struct ClaimAnswer {
    bool kept = false;
    Position end;         // kept: of its log
    std::string refusal;  // one sentence; "": it did not answer
};

// How many data members, the claimant among them, must keep an epoch before it is used. A commit
// that `rule` confirms is on that many replicas, so of the members beside them, and beside those
// that the primary could still find, one knows both. Never less than a majority.
size_t claims_needed(size_t data_members, const AckRule& rule);

// In the order of `members`, with the keys of this node. Returns when all have answered, or after
// `patience`. A primary is told, too: it keeps the claim when it has become a replica.
std::vector<ClaimAnswer> claim_epoch(const Layout& layout, const Settings& settings,
                                     const std::vector<Member>& members, const EpochClaim& claim,
                                     Nanos patience);

}  // namespace tanist
