#include "failover/commands.h"
#include "failover/node_command.h"
#include "failover/output.h"
#include "replicator/control/audit.h"
#include "replicator/control/node_address.h"
#include "replicator/membership/membership.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
using Kind = OperatorCommand::Kind;

constexpr Nanos kPatience = 30s;

OperatorCommand command_of(const MembersOptions& options, Kind kind) {
    return {.kind = kind,
            .who = local_user(),
            .node = options.node,
            .name = options.name,
            .may_lead = options.may_lead,
            .witness = options.witness,
            .is_operator = options.is_operator};
}

// On the primary's machine the files are changed, which its daemon notices; nobody needs to run.
Result<Json> change_here(const MembersOptions& options, const OperatorCommand& command) {
    const Layout layout(options.target);
    Result<Membership> membership = command.kind == Kind::members_list
                                        ? read_membership(layout)
                                        : change_membership(layout, command);
    if (command.kind != Kind::members_list) {
        audit_outcome(layout, to_string(command.kind), target_of(command),
                      membership ? ok_status() : Status(Error(membership.error())));
    }
    if (!membership) return std::move(membership).error();
    return Json::parse(membership_json(layout, *membership));
}

Result<Json> carry_out(const MembersOptions& options, Kind kind) {
    OperatorCommand command = command_of(options, kind);
    if (!is_node_address(options.target)) return change_here(options, command);
    command.who.clear();
    Result<Json> answer = command_node({.target = options.target,
                                        .command = std::move(command),
                                        .as = options.as,
                                        .starting = false,
                                        .patience = kPatience});
    if (answer) answer->erase("done");
    return answer;
}

int run(const MembersOptions& options, Kind kind, const char* done) {
    const Result<Json> membership = carry_out(options, kind);
    if (!membership) return print_error(membership.error(), options.json);
    if (options.json) {
        print_json(*membership);
    } else {
        print_line(target_of(command_of(options, kind)) + done);
    }
    return kExitDone;
}

std::string text(const Json& json, const char* key) { return json.value(key, std::string()); }

void print_membership(const MembersOptions& options, const Json& membership) {
    const Json members = membership.value("members", Json::array());
    const Json operators = membership.value("operators", Json::array());
    if (members.empty() && operators.empty()) {
        return print_line("No members; add one: tanist members add " + options.target +
                          " tcp://127.0.0.1:7401");
    }
    std::vector<std::vector<std::string>> rows = {{"NAME", "ENDPOINT", "STATE", "KEY"}};
    for (const Json& member : members) {
        const std::string key = member["key"].is_string() ? text(member, "key") : "-";
        rows.push_back({text(member, "name"), text(member, "endpoint"), text(member, "state"),
                        key.substr(0, 16)});
    }
    for (const Json& person : operators) {
        rows.push_back({text(person, "name"), "-", "operator", text(person, "key").substr(0, 16)});
    }
    print_line(table(rows));
}

}  // namespace

int run_members_list(const MembersOptions& options) {
    const Result<Json> membership = carry_out(options, Kind::members_list);
    if (!membership) return print_error(membership.error(), options.json);
    if (options.json) {
        print_json(*membership);
    } else {
        print_membership(options, *membership);
    }
    return kExitDone;
}

int run_members_add(const MembersOptions& options) {
    if (is_node_address(options.node)) {
        Result<NodeAddress> address = parse_node_address(options.node);
        if (!address) return print_error(address.error(), options.json, kExitUsage);
    }
    return run(options, Kind::members_add,
               options.is_operator
                   ? " is an operator's key now"
                   : " is a member now; `tanist status` shows how it comes up to date");
}

int run_members_allow_lead(const MembersOptions& options) {
    return run(options, Kind::members_allow_lead, " may be the primary now");
}

int run_members_remove(const MembersOptions& options) {
    return run(options, Kind::members_remove, " is no member any more");
}

}  // namespace tanist
