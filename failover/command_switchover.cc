#include <cstdio>

#include "failover/commands.h"
#include "failover/node_command.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kPatience = 60s;

}  // namespace

int run_switchover(const SwitchoverOptions& options) {
    Result<Json> result = command_node({.target = options.target,
                                        .command = {.kind = OperatorCommand::Kind::switchover,
                                                    .to = options.to,
                                                    .dry_run = options.dry_run},
                                        .as = options.as,
                                        .starting = false,
                                        .patience = kPatience});
    if (!result) return print_error(result.error(), options.json);
    if (options.json) {
        print_json(*result);
        return kExitDone;
    }
    const std::string to = result->value("to", "");
    if (options.dry_run) {
        print_line("It can begin: " + options.target + " at " + result->value("position", "") +
                   ", " + to + " is " + std::to_string(result->value("behind", uint64_t{0})) +
                   " commits behind");
        return kExitDone;
    }
    print_line(to + " is the primary; " + options.target + " follows it. It took " +
               say_seconds(result->value("seconds", 0.0)) + ".");
    return kExitDone;
}

}  // namespace tanist
