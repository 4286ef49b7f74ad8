// The replica's part in its cluster's keys: the open invitation, joining, the member lists that its
// primary sends, and a new identity of its own that is announced.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "replicator/control/invitation.h"
#include "replicator/node/door.h"

namespace tanist {

class Newcomer {
  public:
    Newcomer(Door& door, std::string name) : door_(door), name_(std::move(name)) {}

    // Makes an invitation when an endpoint has keys and this node has no list. The
    // addresses to print, one for each secured endpoint; none when there is no invitation.
    Result<std::vector<std::string>> invite(Link& link, const std::vector<std::string>& endpoints,
                                            std::chrono::milliseconds expires);
    // Whether the message was one of these and is dealt with. Requires: it was admitted. `cluster`:
    // to which this node belongs already, or zero.
    bool takes(Link& link, const Incoming& incoming, const Envelope& envelope, const Body& body,
               const ClusterId& cluster);
    // Announces identity.next when it appears; lets strangers out when the invitation expires.
    void tick(Link& link);

  private:
    void join(Link& link, const Incoming& incoming, const Envelope& envelope, const Join& join,
              const ClusterId& cluster);
    Status why_not_invited(const Incoming& incoming, const Join& join, bool& knows_secret);
    Status take_first_list(Link& link, const Incoming& incoming, const Join& join,
                           const ClusterId& cluster);
    void take_list(Link& link, const Incoming& incoming, const Envelope& envelope,
                   const MembersList& offered);
    void announce(Link& link);

    Door& door_;
    std::string name_;
    std::optional<Invitation> invitation_;
    InviteFailures guesses_;  // and whatever else is wrong with a join
    InviteFailures late_;     // the right secret, too late
    LinkId primary_ = 0;      // who sent the last list, and in which session
    uint64_t session_ = 0;
    NodeKey announced_;
    Instant looked_{0};
    std::string breach_;  // of the join being looked at
};

}  // namespace tanist
