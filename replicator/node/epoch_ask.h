// Before a primary's engine serves again: has one of its members, or of the replicas in its
// settings, seen a higher epoch? Asked of all of them at once, for a short time: who does not
// answer is not waited for, so what this finds is certain and what it does not find is not.
#pragma once

#include <optional>

#include "replicator/base/result.h"
#include "replicator/control/layout.h"
#include "replicator/control/node_file.h"
#include "replicator/control/settings.h"
#include "replicator/node/role_host.h"

namespace tanist {

// Errors: of the file with the members.
Result<std::optional<Superseded>> ask_for_higher_epoch(const Layout& layout,
                                                       const Settings& settings,
                                                       const NodeFile& self);

}  // namespace tanist
