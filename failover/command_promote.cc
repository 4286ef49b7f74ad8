#include "failover/commands.h"
#include "failover/planned_command.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kPatience = 60s;

std::string text(const Json& json, const char* key) { return json.value(key, std::string()); }

void print_plan(const std::string& target, const Json& plan) {
    print_line("Plan: " + text(plan, "node") + " becomes the primary at " + text(plan, "end"));
    std::vector<std::vector<std::string>> rows = {{"  MEMBER", "ENDPOINT", "ROLE", "LOG END"}};
    for (const Json& member : plan.value("members", Json::array())) {
        const bool reached = member.value("reached", false);
        rows.push_back({"  " + text(member, "name"), text(member, "endpoint"),
                        reached ? text(member, "role") : "cannot be asked",
                        reached ? text(member, "end") : "unknown"});
    }
    if (rows.size() > 1) print_line(table(rows));
    const uint64_t lost = plan.value("lost_commits_at_least", uint64_t{0});
    print_line("  the old primary was last heard at LSN " +
               std::to_string(plan.value("primary_end_last_heard", uint64_t{0})) +
               (lost == 0 ? ", which is here"
                          : ": at least " + std::to_string(lost) + " commits would be lost"));
    for (const Json& reason : plan.value("unsafe", Json::array())) {
        print_line("  NOT SAFE: " + reason.get<std::string>());
    }
    if (const std::string impossible = text(plan, "impossible"); !impossible.empty()) {
        print_line("  IMPOSSIBLE: " + impossible);
    }
    print_line("  the epoch would be " + std::to_string(plan.value("next_epoch", uint64_t{0})));
    print_line("  Applications then write to " + target +
               "; connections without the extension must be opened anew there.");
}

CommandAsk ask_to_promote(const PromoteOptions& options, bool dry_run) {
    return {.target = options.target,
            .command = {.kind = OperatorCommand::Kind::promote,
                        .asserted = options.assert_fenced,
                        .dry_run = dry_run,
                        .force = options.force,
                        .accept_loss = options.accept_loss},
            .as = options.as,
            .starting = false,
            .patience = kPatience};
}

}  // namespace

int run_promote(const PromoteOptions& options) {
    if (options.force != options.accept_loss) {
        return print_error({Errc::invalid,
                            "--force and --accept-loss belong together: a forced "
                            "promotion may lose commits"},
                           options.json, kExitUsage);
    }
    const PlannedEnd end =
        run_planned({.ask = [&](bool dry_run) { return ask_to_promote(options, dry_run); },
                     .print_plan = [&](const Json& plan) { print_plan(options.target, plan); },
                     .not_done = "not promoted",
                     .dry_run = options.dry_run,
                     .yes = options.yes,
                     .json = options.json});
    if (!end.result) return end.code;
    if (!end.result->value("old_primary_fenced", true)) {
        print_line(
            "  NOT FENCED: too few members know the new epoch. Start the old primary only while " +
            options.target + " runs.");
    }
    print_line(options.target + " is the primary, at " + text(*end.result, "position"));
    return kExitDone;
}

}  // namespace tanist
