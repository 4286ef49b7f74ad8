#include "failover/commands.h"
#include "failover/planned_command.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kPatience = 30s;

std::string text(const Json& json, const char* key) { return json.value(key, std::string()); }

std::string state_of(const Json& member) {
    if (!member.value("reached", false)) return "cannot be asked";
    if (member.value("lost_ballot", false)) return "its ballot is lost";
    return member.value("suspect", false) ? "suspect" : "sound";
}

void print_plan(const Json& plan) {
    const bool lost = plan.value("lost_ballot", false);
    print_line("Plan: " + text(plan, "node") +
               (lost ? " votes again, under a promise above all that it can have forgotten"
                     : " votes and is elected as if its log lacked nothing"));
    print_line("  its log ends at " + text(plan, "end") +
               "; what it had acknowledged beyond that is not here");
    std::vector<std::vector<std::string>> rows = {{"  MEMBER", "ENDPOINT", "STATE", "LOG END"}};
    for (const Json& member : plan.value("members", Json::array())) {
        const bool reached = member.value("reached", false);
        rows.push_back({"  " + text(member, "name"), text(member, "endpoint"), state_of(member),
                        reached ? text(member, "end") : "unknown"});
    }
    if (rows.size() > 1) print_line(table(rows));
    const uint64_t missing = plan.value("lost_commits_at_least", uint64_t{0});
    print_line("  the primary was last heard at LSN " +
               std::to_string(plan.value("primary_end_last_heard", uint64_t{0})) +
               (missing == 0 ? ", which is here"
                             : ": at least " + std::to_string(missing) + " commits may be lost"));
    if (!plan.value("log_counts", false)) {
        print_line("  its log does not count: more of the history is at " + text(plan, "more_at"));
    }
    if (const std::string impossible = text(plan, "impossible"); !impossible.empty()) {
        print_line("  IMPOSSIBLE: " + impossible);
    }
}

CommandAsk ask_to_recover(const RecoverOptions& options, bool dry_run) {
    return {.target = options.target,
            .command = {.kind = OperatorCommand::Kind::recover,
                        .dry_run = dry_run,
                        .accept_loss = options.accept_suspect},
            .as = options.as,
            .starting = false,
            .patience = kPatience};
}

}  // namespace

int run_recover(const RecoverOptions& options) {
    if (!options.accept_suspect && !options.dry_run) {
        return print_error({Errc::invalid,
                            "what the node had acknowledged may be lost: --dry-run shows the plan, "
                            "--accept-suspect is your word"},
                           options.json, kExitUsage);
    }
    const PlannedEnd end =
        run_planned({.ask = [&](bool dry_run) { return ask_to_recover(options, dry_run); },
                     .print_plan = print_plan,
                     .not_done = "nothing was done",
                     .dry_run = options.dry_run,
                     .yes = options.yes,
                     .json = options.json});
    if (!end.result) return end.code;
    print_line(options.target + (end.result->value("already", false)
                                     ? " counts already: it is not suspect, and knows its ballot"
                                     : " counts again"));
    return kExitDone;
}

}  // namespace tanist
