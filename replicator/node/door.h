// The keys of a node at work: its identity, the signed member list, what both mean for the link's
// endpoints and connections, and what a message's sender may do. Rules are in wire/authority,
// control/member_list and control/invitation.
//
// Thread rule: used by the thread that owns the link, after open() and bind().
#pragma once

#include <map>
#include <optional>
#include <string>

#include "replicator/control/identity.h"
#include "replicator/control/layout.h"
#include "replicator/control/member_list.h"
#include "replicator/control/settings.h"
#include "replicator/wire/authority.h"
#include "replicator/wire/link.h"

namespace tanist {

class Door {
  public:
    Door(Layout layout, const Settings& settings);

    // Reads identity and list and secures the link. Requires: the identity file is there.
    Status open(Link& link);
    // Plain on ipc and loopback unless `curve` is set, else with CURVE.
    Result<std::string> bind(Link& link, const std::string& endpoint);
    // To the holder of `key`; zero: without CURVE, refused unless the endpoint is local.
    Result<LinkId> connect(Link& link, const std::string& endpoint, const NodeKey& key);

    // Whether the message may be handled. A stream that is denied is answered with refuse; every
    // denial is noted, now and then.
    bool admits(Link& link, const Incoming& incoming, const Envelope& envelope);
    // The same, by what the message says.
    bool is_genuine(Link& link, const Incoming& incoming, const Envelope& envelope,
                    const Body& body);

    const Layout& layout() const { return layout_; }
    const Identity& identity() const { return *identity_; }
    const MemberList& list() const { return list_; }
    bool secured() const { return secured_; }  // an endpoint uses CURVE
    // The key under which a node was first known here: the same before and after its rotations.
    NodeKey first_key_of(const NodeKey& key) const;
    void set_inviting(Link& link, bool inviting);
    // From now on; `store`: written first.
    Status take_list(Link& link, MemberList list, bool store);
    // identity.next becomes the identity.
    Status take_next_identity(Link& link);
    // The identity's file has another key: it is this node's from now on.
    Status follow_identity(Link& link);
    // Sends `code` and the sentence.
    void refuse(Link& link, LinkId to, const Envelope& asked, RefuseCode code,
                const std::string& text);

  private:
    Status secure(Link& link);
    void tell_denied(const Caller& caller, MessageType type, const char* why);

    Layout layout_;
    bool curve_;
    std::optional<Identity> identity_;
    MemberList list_;
    AuthorityPolicy policy_;
    std::map<NodeKey, NodeKey> first_keys_;  // of nodes that rotated since open()
    bool secured_ = false;
    Instant told_{0};
};

}  // namespace tanist
