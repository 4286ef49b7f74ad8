// Before a primary's engine serves again: has one of its members seen a higher epoch? Asked of all
// of them at once, for a short time: who does not answer is not waited for, so what this finds is
// certain and what it does not find is not.
#pragma once

#include <optional>
#include <vector>

#include "replicator/control/members.h"
#include "replicator/control/node_file.h"
#include "replicator/control/settings.h"
#include "replicator/node/role_host.h"

namespace tanist {

std::optional<Superseded> ask_for_higher_epoch(const Layout& layout, const Settings& settings,
                                               const std::vector<Member>& members,
                                               const NodeFile& self);

}  // namespace tanist
