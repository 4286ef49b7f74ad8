#include <chrono>
#include <thread>

#include "failover/commands.h"
#include "failover/node_command.h"
#include "replicator/base/clock.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kPatience = 60s;
constexpr Nanos kWaitSlack = 20ms;

// Nothing has been changed when the primary says how long it is until it can be.
double seconds_to_wait(const Json& answer) {
    return answer.is_object() ? answer.value("wait_seconds", 0.0) : 0.0;
}

// Waits, where that helps: a member that was started a moment ago does not vote at once.
Result<Json> switch_over(const SwitchoverOptions& options) {
    CommandAsk ask{.target = options.target,
                   .command = {.kind = OperatorCommand::Kind::switchover,
                               .to = options.to,
                               .dry_run = options.dry_run},
                   .as = options.as};
    const Instant give_up = boot_now() + kPatience;
    for (bool told = options.json;; told = true) {
        ask.patience = give_up - boot_now();
        Json answer;
        Result<Json> result = command_node(ask, &answer);
        const double wait = seconds_to_wait(answer);
        const Nanos nap = Nanos(static_cast<int64_t>(wait * 1e9)) + kWaitSlack;
        if (result || options.dry_run || wait <= 0 || boot_now() + nap >= give_up) return result;
        if (!told) print_line("Waiting: " + result.error().message);
        std::this_thread::sleep_for(nap);
    }
}

}  // namespace

int run_switchover(const SwitchoverOptions& options) {
    Result<Json> result = switch_over(options);
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
