// The primary's part in its cluster's keys: every member that has a key is sent the signed member
// list at the start of a session and when it changes, and says which version it keeps. On that rest
// the two rotations (control/key_rotation.h): of the primary's own key, which is switched once
// every member keeps the list with both, and of a member's, which the primary enters for it.
//
// Thread rule: the thread that owns the link.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "replicator/control/members.h"
#include "replicator/node/door.h"

namespace tanist {

// A connection to a member: what the announcer needs to know of it.
struct MemberLink {
    LinkId link = 0;
    uint64_t session = 0;
    NodeKey server;  // whose key the connection was opened to; zero: plain
};

class Announcer {
  public:
    explicit Announcer(Door& door) : door_(door) {}

    // The key to open a connection to: while the member rotates, its new and its old key by turns.
    NodeKey key_for(const NodeKey& member_key, unsigned attempt) const;
    // Whether a connection that was opened to `server` still leads to that member.
    bool may_keep(const NodeKey& server, const NodeKey& member_key) const;
    // A session began: the list is said on it.
    void welcomed(Link& link, const MemberLink& member);
    void say_list(Link& link, const MemberLink& member);
    // The member was heard under the key that the connection was opened to.
    void answered(Link& link, const MemberLink& member) { finish_member(link, member.server); }
    // Whether the message was one of these and is dealt with.
    bool takes(Link& link, const MemberLink& member, const Body& body);
    // The list's file changed, or a rotation can go on. `members`: all that must keep the list;
    // `links`: those that are connected. The identity of the door may be another one afterwards.
    void look(Link& link, const std::vector<Member>& members, const std::vector<MemberLink>& links);
    // The newest version of the list that all of them keep.
    uint64_t kept_by_all(const std::vector<Member>& members) const;

  private:
    void send_list(Link& link, const MemberLink& member);
    Status enter_new_key(Link& link, const NodeKey& old_key, const NewKey& announced);
    Status store(Link& link, MemberList list);
    void finish_member(Link& link, const NodeKey& key);
    void finish_own(Link& link, const std::vector<Member>& members);

    Door& door_;
    std::map<NodeKey, uint64_t> kept_;  // by the key a connection was opened to
    std::map<LinkId, uint64_t> sent_;   // which version went out on it
    int64_t changed_ns_ = -1;
    Instant looked_{0};
};

}  // namespace tanist
