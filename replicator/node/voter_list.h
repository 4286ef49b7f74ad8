// <db>-tanist/voters: who votes in this group's elections, by which rules, and where each voter is
// reached. A node that has the file votes, whatever its settings say; the list with the highest
// config id counts. The same bytes travel in a `voters` message. Format: docs/failover.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "failover/core/config.h"
#include "replicator/control/member_list.h"
#include "replicator/control/members.h"
#include "replicator/control/settings.h"

namespace tanist {

struct VoterAddress {
    NodeKey node;
    bool secured = false;  // its connections use CURVE, with that key
    std::string name;
    std::string endpoint;
    bool operator==(const VoterAddress&) const = default;
};

struct VoterList {
    failover::Config config;
    std::vector<VoterAddress> addresses;  // of the config's members, in its order
    const VoterAddress* find(const NodeKey& node) const;
    const VoterAddress* at(const std::string& endpoint) const;
    bool operator==(const VoterList&) const = default;
};

Bytes encode(const VoterList& list);
// version: with both numbers; corrupt: anything else.
Result<VoterList> decode_voter_list(ByteView bytes);
// Nothing: nobody votes.
Result<std::optional<VoterList>> read_voter_list(const std::string& path);
Status write_voter_list(const std::string& path, const VoterList& list);

// The list of a config that is newer than `older`: a forced promotion died between the two files,
// or `older` comes from a backup. Nothing: it does not say where each member is.
std::optional<VoterList> list_of(const failover::Config& config, const VoterList& older);

// `new_key` votes where `old_key` did; everything else stays. Requires: old_key is in it.
void replace_voter(VoterList& list, const NodeKey& old_key, const NodeKey& new_key);

// Who belongs to the cluster, for a node that is elected under `list` and, as a replica, has heard
// that they were `held`, perhaps before the last change. Every voter of the list belongs to it, or
// the next change would take its vote. A key that the signed `keys` know no more is on its way out.
// Others stay: they are new, and wait for their votes.
std::vector<Member> members_under(const VoterList& list, std::vector<Member> held,
                                  const MemberList& keys);

// The next list on the way from `now` to `wanted`, made by the holder of `epoch`; `own` is the list
// that it made last. The same voters come first where somebody else made `now`: before, two
// holders could each change the list that both began with, and majorities of the two lists that
// come of it have nobody in common. A majority that holds a list of this epoch elects nobody under
// one of an earlier epoch (rule G3).
VoterList step_towards(const VoterList& wanted, const VoterList& now, Epoch epoch,
                       failover::ConfigId own);

// A forced promotion leaves as few confirmations for a commit to wait for (k) as its voters can
// give. `now` with those that `ack`, the setting of its holder, asks for, as far as its data
// members can give them; nothing: it has them, or was never forced, and the founder's count.
std::optional<VoterList> with_k_again(const VoterList& now, const AckRule& ack);

// What one voter says of itself, and where it is.
struct VoterFacts {
    VoterAddress address;
    uint16_t priority = 100;
    bool witness = false;
    bool nofailover = false;
};
// The list that a primary founds. refused: one sentence with what does not allow it.
Result<VoterList> found_voters(const ClusterId& cluster, const GroupId& group,
                               failover::ConfigId id, const Settings& settings,
                               std::vector<VoterFacts> voters);

}  // namespace tanist
