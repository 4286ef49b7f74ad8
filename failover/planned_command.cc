#include "failover/planned_command.h"

#include <utility>

namespace tanist {
namespace {

Json plan_in(const Json& answer) { return answer.value("plan", Json::object()); }

// Nothing: go on.
std::optional<int> show_and_ask(const PlannedCommand& command) {
    Result<Json> planned = command_node(command.ask(true));
    if (!planned) return print_error(planned.error(), command.json);
    if (command.json) {
        print_json(*planned);
    } else {
        command.print_plan(plan_in(*planned));
    }
    if (command.dry_run) return kExitDone;
    if (planned->value("already", false) || operator_agrees()) return std::nullopt;
    return print_error({Errc::refused, command.not_done + ": nobody said yes (--yes does not ask)"},
                       command.json);
}

}  // namespace

PlannedEnd run_planned(const PlannedCommand& command) {
    if (command.dry_run || (!command.yes && !command.json)) {
        if (const auto over = show_and_ask(command)) return {*over, std::nullopt};
    }
    Json whole;
    Result<Json> result = command_node(command.ask(false), &whole);
    if (command.json && whole.is_object()) {
        print_json(whole);
        return {result ? int{kExitDone} : int{exit_code_of(result.error())}, std::nullopt};
    }
    if (command.yes && whole.is_object()) command.print_plan(plan_in(whole));
    if (!result) return {print_error(result.error(), command.json), std::nullopt};
    return {kExitDone, std::move(*result)};
}

}  // namespace tanist
