// What a rotation of keys says and how it changes the member list; pure but for the signatures.
//
//   1. a new identity is made beside the present one (identity.next)
//   2. the list names it, with the present one as the old key: both are accepted everywhere
//   3. when every node keeps that list, the node uses the new identity
//   4. a list without the old key ends the overlap
//
// A node that may not admit members asks its primary for step 2 with a new_key message.
#pragma once

#include "replicator/control/member_list.h"

namespace tanist {

// What both signatures of a new_key message are over.
Bytes new_key_statement(const ClusterId& cluster, const NodeKey& old_key, const NodeKey& new_key);

// Step 2. refused: no such node, a rotation of it is going on already, or the key is in use.
Status begin_rotation(MemberList& list, const NodeKey& old_key, const NodeKey& new_key);
// Step 4. False: there was nothing to end.
bool end_rotation(MemberList& list, const NodeKey& new_key);

}  // namespace tanist
