#include "failover/commands.h"
#include "failover/node_command.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kPatience = 20s;

int change(const PauseOptions& options, OperatorCommand::Kind kind, const char* done) {
    Result<Json> result = command_node({.target = options.target,
                                        .command = {.kind = kind},
                                        .as = options.as,
                                        .starting = false,
                                        .patience = kPatience});
    if (!result) return print_error(result.error(), options.json);
    if (options.json) {
        print_json(*result);
    } else {
        print_line(options.target + ": " + (result->value("already", false) ? "already so: " : "") +
                   done);
    }
    return kExitDone;
}

}  // namespace

int run_pause(const PauseOptions& options) {
    return change(options, OperatorCommand::Kind::pause,
                  "no node is elected without an operator until `tanist resume`");
}

int run_resume(const PauseOptions& options) {
    return change(options, OperatorCommand::Kind::resume, "failover is automatic");
}

}  // namespace tanist
