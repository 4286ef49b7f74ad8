// Hooks: commands of the operator that are told of changes of role, and what they are told. Pure;
// hook_runner.h runs them.
//
// A hook only hears of what has happened: it can neither veto a change of role nor hold one up.
#pragma once

#include <string>
#include <vector>

#include "replicator/base/ids.h"
#include "replicator/control/settings.h"

namespace tanist {

enum class HookEvent {
    promote,  // this node takes writes now
    demote,   // it is a replica now, and follows another
    fence,    // it was the primary and refuses writes: an operator's order, or it was superseded
};
const char* to_string(HookEvent event);

struct HookFacts {
    HookEvent event = HookEvent::fence;
    std::string database;
    Epoch epoch;                // of this node after the change
    Position position;          // end of its log
    std::string endpoint;       // where this node listens; "" nowhere
    std::string primary;        // where the primary listens, or its name; "" not known
    std::string reason;         // one word: operator, switchover, superseded, ...
    uint64_t lost_commits = 0;  // promote: so many at least are known to be lost
};

// The command for an event; "" when there is none.
const std::string& command_of(const HookSettings& settings, HookEvent event);
// "NAME=value" for each fact; docs/operations.md lists the names.
std::vector<std::string> environment_of(const HookFacts& facts);

}  // namespace tanist
