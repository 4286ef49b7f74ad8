// Adding a node that printed an invitation: both sides learn the other's key over one CURVE
// connection, and the new node gets the signed member list.
#pragma once

#include "replicator/base/clock.h"
#include "replicator/control/identity.h"
#include "replicator/control/member_list.h"
#include "replicator/control/node_address.h"

namespace tanist {

// Requires: `list` is signed by `self` and names address.key. unreachable: nobody with that key
// answers; refused: it says why; unknown_outcome: asked, and no answer came. Repeating it is safe.
Status join(const Identity& self, const NodeAddress& address, const MemberList& list,
            Nanos patience);

}  // namespace tanist
