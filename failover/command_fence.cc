#include "failover/commands.h"
#include "failover/node_command.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kPatience = 30s;

int run(const FenceOptions& options, OperatorCommand::Kind kind, const char* done,
        const char* already) {
    Result<Json> result = command_node({.target = options.target,
                                        .command = {.kind = kind},
                                        .as = options.as,
                                        .starting = true,
                                        .patience = kPatience});
    if (!result) return print_error(result.error(), options.json);
    if (options.json) {
        print_json(*result);
        return kExitDone;
    }
    print_line(options.target + (result->value("already", false) ? already : done));
    if (const std::string stock = result->value("stock_processes", ""); !stock.empty()) {
        print_line("  processes without the extension: " + stock);
    }
    return kExitDone;
}

}  // namespace

int run_fence(const FenceOptions& options) {
    return run(options, OperatorCommand::Kind::fence,
               " is fenced: it can be read, and every write is refused.\n"
               "  Restore it with: tanist unfence DATABASE\n"
               "  Connections without the extension that saw the fence must be opened anew then.",
               " is fenced already");
}

int run_unfence(const FenceOptions& options) {
    return run(options, OperatorCommand::Kind::unfence,
               " takes writes again.\n"
               "  Connections without the extension that were refused a write must be opened anew.",
               " is not fenced");
}

}  // namespace tanist
