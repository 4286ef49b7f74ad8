#include <functional>
#include <optional>

#include "failover/commands.h"
#include "failover/output.h"
#include "replicator/control/setup.h"

namespace tanist {
namespace {

Status check_primary(const Layout& layout) {
    Result<NodeFile> node = read_node_file(layout.node());
    if (node && node->role == Role::primary) return ok_status();
    if (node) {
        return Error{
            Errc::refused,
            layout.db + " is a replica; its members are kept by the primary, run it there"};
    }
    if (node.error().code != Errc::not_found) return std::move(node).error();
    return Error{Errc::not_found,
                 layout.db + " is not set up for replication; run: tanist init " + layout.db};
}

Json member_json(const Member& member) {
    return {{"name", member.name},
            {"endpoint", member.endpoint},
            {"key", member.key.is_zero() ? Json() : Json(to_string(member.key))}};
}

// What the engine last knew of this endpoint.
std::optional<PeerReport> report_on(const Control& control, const std::string& endpoint) {
    for (uint32_t i = 0; i < control->peers.load() && i < limits::kMembersMax; ++i) {
        PeerReport report = control.peer(i);
        if (report.endpoint == endpoint) return report;
    }
    return std::nullopt;
}

using Change = std::function<Status(std::vector<Member>&)>;

int change_members(const MembersOptions& options, const Change& change, const char* done) {
    const Layout layout(options.db);
    Status primary = check_primary(layout);
    if (!primary) return print_error(primary.error(), options.json);
    Result<File> lock = lock_directory(layout.directory);
    if (!lock) return print_error(lock.error(), options.json);
    Result<std::vector<Member>> members = read_members(layout.members());
    if (!members) return print_error(members.error(), options.json);
    Status changed = change(*members);
    if (!changed) return print_error(changed.error(), options.json);
    Status written = write_members(layout.members(), *members);
    if (!written) return print_error(written.error(), options.json);
    if (options.json) {
        Json list = Json::array();
        for (const Member& member : *members) list.push_back(member_json(member));
        print_json({{"database", layout.db}, {"members", list}});
        return kExitDone;
    }
    print_line(options.node + done);
    return kExitDone;
}

}  // namespace

int run_members_list(const MembersOptions& options) {
    const Layout layout(options.db);
    Status primary = check_primary(layout);
    if (!primary) return print_error(primary.error(), options.json);
    Result<std::vector<Member>> members = read_members(layout.members());
    if (!members) return print_error(members.error(), options.json);
    Result<Control> control = Control::open(layout.control(), false, false);
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows = {{"NAME", "ENDPOINT", "STATE", "KEY"}};
    for (const Member& member : *members) {
        std::optional<PeerReport> report;
        if (control) report = report_on(*control, member.endpoint);
        std::string state = report ? to_string(report->state) : "unknown";
        Json entry = member_json(member);
        entry["state"] = state;
        list.push_back(entry);
        std::string key = member.key.is_zero() ? "-" : to_string(member.key).substr(0, 16);
        rows.push_back({member.name, member.endpoint, state, key});
    }
    if (options.json) {
        print_json({{"database", layout.db}, {"members", list}});
    } else if (members->empty()) {
        print_line("No members; add one: tanist members add " + options.db +
                   " tcp://127.0.0.1:7401");
    } else {
        print_line(table(rows));
    }
    return kExitDone;
}

int run_members_add(const MembersOptions& options) {
    return change_members(
        options,
        [&](std::vector<Member>& members) {
            return add_member(members, {options.name, options.node, {}});
        },
        " is a member now; `tanist status` shows how it comes up to date");
}

int run_members_remove(const MembersOptions& options) {
    return change_members(
        options, [&](std::vector<Member>& members) { return remove_member(members, options.node); },
        " is no member any more");
}

}  // namespace tanist
