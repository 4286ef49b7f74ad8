#include <algorithm>
#include <functional>
#include <optional>

#include "failover/commands.h"
#include "failover/join.h"
#include "failover/output.h"
#include "replicator/control/alarm.h"
#include "replicator/control/audit.h"
#include "replicator/control/host_name.h"
#include "replicator/control/setup.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kJoinPatience = 8s;
// The primary itself, by whose identity the list is signed.
constexpr Rights kPrimaryRights = {kRightsKnown};

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
            {"witness", member.witness},
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

// Both files of members, as they were read together.
struct Membership {
    std::vector<Member> members;
    MemberList list;
};

Result<Membership> read_membership(const Layout& layout) {
    TANIST_TRY(check_primary(layout));
    Result<std::vector<Member>> members = read_members(layout.members());
    if (!members) return std::move(members).error();
    Result<MemberList> list = read_member_list(layout.member_list());
    if (!list) return std::move(list).error();
    return Membership{std::move(members).value(), std::move(list).value()};
}

using Change = std::function<Status(Membership&)>;

// `change` under the directory's lock, written. The list before the members: a crash in between
// leaves a member without a key that is let in, never the other way round.
Result<std::vector<Member>> change_membership(const Layout& layout, const Change& change) {
    TANIST_TRY(check_primary(layout));
    Result<File> lock = lock_directory(layout.directory);
    if (!lock) return std::move(lock).error();
    Result<Membership> membership = read_membership(layout);
    if (!membership) return std::move(membership).error();
    const uint64_t version = membership->list.version;
    TANIST_TRY(change(*membership));
    if (membership->list.version != version) {
        TANIST_TRY(write_member_list(layout.member_list(), membership->list));
    }
    TANIST_TRY(write_members(layout.members(), membership->members));
    return std::move(membership->members);
}

int finish(const MembersOptions& options, const Layout& layout, const char* command,
           const std::string& target, Result<std::vector<Member>> outcome, const char* done) {
    audit_outcome(layout, command, target, outcome ? ok_status() : Status(Error(outcome.error())));
    if (!outcome) return print_error(outcome.error(), options.json);
    if (options.json) {
        Json list = Json::array();
        for (const Member& member : *outcome) list.push_back(member_json(member));
        print_json({{"database", layout.db}, {"members", list}});
    } else {
        print_line(target + done);
    }
    return kExitDone;
}

// The list with the new node in it, signed; it begins with this node.
Status list_new_node(const Layout& layout, const Identity& self, const NodeAddress& address,
                     const std::string& name, Rights rights, MemberList& list) {
    if (list.version == 0) {
        Result<NodeFile> node = read_node_file(layout.node());
        if (!node) return std::move(node).error();
        list.cluster = node->cluster;
        TANIST_TRY(add_listed(list, {.name = host_name(),
                                     .endpoint = "",
                                     .key = self.key(),
                                     .old_key = {},
                                     .rights = kPrimaryRights}));
    }
    if (!list.rights_of(self.key()).has(Right::admit)) {
        return Error{Errc::refused,
                     "this node may not admit members; run this on the cluster's primary"};
    }
    TANIST_TRY(add_listed(list, {.name = name,
                                 .endpoint = address.endpoint,
                                 .key = address.key,
                                 .old_key = {},
                                 .rights = rights}));
    sign_list(list, self);
    return ok_status();
}

// The new node first, then our files: what is lost in between is made good by the same command
// again, because a node that has joined takes the list of one who may admit.
Result<std::vector<Member>> add_by_address(const Layout& layout, const NodeAddress& address,
                                           const std::string& given_name, Rights rights,
                                           bool witness) {
    Result<Membership> before = read_membership(layout);
    if (!before) return std::move(before).error();
    Result<Identity> self = Identity::load(layout.identity());
    if (!self) return std::move(self).error();
    Member member{
        .name = given_name, .endpoint = address.endpoint, .key = address.key, .witness = witness};
    std::vector<Member> members = before->members;
    TANIST_TRY(add_member(members, member));
    MemberList list = before->list;
    TANIST_TRY(list_new_node(layout, *self, address, members.back().name, rights, list));
    Status joined = join(*self, address, list, kJoinPatience);
    if (!joined) {
        if (joined.error().code == Errc::refused &&
            joined.error().message.find("used already") != std::string::npos) {
            raise_alarm(layout, local_user(), joined.error().message);
        }
        return std::move(joined).error();
    }
    return change_membership(layout, [&](Membership& now) -> Status {
        if (now.list.version != before->list.version) {
            return Error{Errc::busy, "the members were changed meanwhile; run this again"};
        }
        now.list = list;
        return add_member(now.members, member);
    });
}

// A key that is taken off is signed away; every node that keeps the list cuts it.
Status take_off(const Layout& layout, const std::string& name, Membership& membership) {
    NodeKey key;
    for (const Member& member : membership.members) {
        if (member.name == name || member.endpoint == name) key = member.key;
    }
    TANIST_TRY(remove_member(membership.members, name));
    if (key.is_zero() || !remove_listed(membership.list, key)) return ok_status();
    Result<Identity> self = Identity::load(layout.identity());
    if (!self) return std::move(self).error();
    sign_list(membership.list, *self);
    return ok_status();
}

// The list is signed anew; the primary's daemon hands it to every member.
Status allow_lead(const Layout& layout, const std::string& name, Membership& membership) {
    const auto named = std::find_if(
        membership.members.begin(), membership.members.end(),
        [&](const Member& member) { return member.name == name || member.endpoint == name; });
    if (named == membership.members.end()) {
        return Error{Errc::not_found, "no member is named " + name};
    }
    auto& nodes = membership.list.nodes;
    const auto listed = std::find_if(
        nodes.begin(), nodes.end(), [&](const ListedNode& node) { return node.holds(named->key); });
    if (listed == nodes.end()) {
        return Error{Errc::refused, name + " is connected to without a key, so it needs no right"};
    }
    if (listed->rights == kPrimaryRights) return ok_status();
    Result<Identity> self = Identity::load(layout.identity());
    if (!self) return std::move(self).error();
    if (!membership.list.rights_of(self->key()).has(Right::admit)) {
        return Error{Errc::refused, "this node may not give rights; run this on the primary"};
    }
    listed->rights = kPrimaryRights;
    sign_list(membership.list, *self);
    return ok_status();
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
        std::string state = member.witness ? "witness"
                            : report       ? to_string(report->state)
                                           : "unknown";
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
    const Layout layout(options.db);
    constexpr const char* kDone = " is a member now; `tanist status` shows how it comes up to date";
    if (!is_node_address(options.node)) {
        auto added = change_membership(layout, [&](Membership& membership) {
            return add_member(membership.members, {.name = options.name,
                                                   .endpoint = options.node,
                                                   .key = {},
                                                   .witness = options.witness});
        });
        return finish(options, layout, "members add", options.node, std::move(added), kDone);
    }
    Result<NodeAddress> address = parse_node_address(options.node);
    if (!address) return print_error(address.error(), options.json, kExitUsage);
    auto added = add_by_address(layout, *address, options.name,
                                options.may_lead ? kPrimaryRights : Rights{}, options.witness);
    // Without the secret.
    address->invite.reset();
    return finish(options, layout, "members add", to_string(*address), std::move(added), kDone);
}

int run_members_allow_lead(const MembersOptions& options) {
    const Layout layout(options.db);
    auto allowed = change_membership(layout, [&](Membership& membership) {
        return allow_lead(layout, options.node, membership);
    });
    return finish(options, layout, "members allow-lead", options.node, std::move(allowed),
                  " may be the primary now");
}

int run_members_remove(const MembersOptions& options) {
    const Layout layout(options.db);
    auto removed = change_membership(
        layout, [&](Membership& membership) { return take_off(layout, options.node, membership); });
    return finish(options, layout, "members remove", options.node, std::move(removed),
                  " is no member any more");
}

}  // namespace tanist
