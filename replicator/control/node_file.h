// <db>-tanist/node: what this node is to this database. Text (TOML), replaced atomically and
// durably; changed only by `tanist init`, the first start, a first HELLO, and role changes.
#pragma once

#include <string>

#include "replicator/base/ids.h"
#include "replicator/base/result.h"
#include "replicator/control/control_block.h"

namespace tanist {

struct NodeFile {
    // primary, replica, or fenced: a primary that refuses writes until `tanist unfence`, or until
    // it has become a replica; or witness, a voter without data
    Role role = Role::unknown;
    ClusterId cluster;  // zero on a replica that nobody has adopted yet
    GroupId group;
    Epoch epoch;  // highest seen
    // Fenced: the epoch of the primary that has taken over, whose replica this node is to become;
    // zero when an operator fenced it.
    Epoch superseded_by;
    // Primary: page 1 may still say that the database is read-only (a promotion was cut short).
    bool mark_pending = false;
    std::string boot;  // boot id under which the engine last ran, hex; "" never
    bool operator==(const NodeFile&) const = default;
};

// not_found when there is none.
Result<NodeFile> read_node_file(const std::string& path);
Status write_node_file(const std::string& path, const NodeFile& node);

}  // namespace tanist
