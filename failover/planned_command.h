// A command that may cost something: its plan is shown first, the operator is asked, and then it is
// done. With --json nobody is asked, and what the daemon answers is printed as it comes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "failover/node_command.h"

namespace tanist {

struct PlannedCommand {
    std::function<CommandAsk(bool dry_run)> ask;
    std::function<void(const Json& plan)> print_plan;
    std::string not_done;  // "not promoted": what the error says first when nobody says yes
    bool dry_run = false;
    bool yes = false;
    bool json = false;
};

// `result` is there when it was done and people are still to be told what that means.
struct PlannedEnd {
    int code = 0;
    std::optional<Json> result;
};

PlannedEnd run_planned(const PlannedCommand& command);

}  // namespace tanist
