// Who belongs to a cluster, as its primary changes it: the members that it ships to (members) and
// the keys that the cluster knows (members.signed), kept in step under the directory's lock. Done
// by `tanist members` on the primary's machine, and by its daemon for an operator.
//
// Thread rule: any thread; a join waits for the other node, some seconds at most.
#pragma once

#include <vector>

#include "replicator/control/layout.h"
#include "replicator/control/member_list.h"
#include "replicator/control/members.h"
#include "replicator/control/operator_command.h"

namespace tanist {

struct Membership {
    std::vector<Member> members;
    MemberList list;
};

// refused: this node is no primary. not_found: it is not set up.
Result<Membership> read_membership(const Layout& layout);
// members_add, members_remove, members_allow_lead. What was not done can be repeated safely.
Result<Membership> change_membership(const Layout& layout, const OperatorCommand& command);
// Both together as JSON: {"database", "members": [...], "operators": [...]}, with the state that
// the engine last knew of each member.
std::string membership_json(const Layout& layout, const Membership& membership);

}  // namespace tanist
