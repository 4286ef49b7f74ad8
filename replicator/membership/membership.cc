#include "replicator/membership/membership.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "replicator/control/alarm.h"
#include "replicator/control/control_block.h"
#include "replicator/control/host_name.h"
#include "replicator/control/setup.h"
#include "replicator/membership/join.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

constexpr Nanos kJoinPatience = 8s;
// The primary's own, by whose identity the list is signed, and those of who may become one.
constexpr Rights kPrimaryRights = Rights{}.with(Right::lead).with(Right::admit);
constexpr Rights kOperatorRights = Rights{}.with(Right::operate);

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

using Change = std::function<Status(Membership&)>;

// `change` under the directory's lock, written. The list before the members: a crash in between
// leaves a member without a key that is let in, never the other way round.
Result<Membership> change_files(const Layout& layout, const Change& change) {
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
    return membership;
}

// Requires: the directory's lock, or that whoever holds it compares versions.
Status sign(const Layout& layout, MemberList& list) {
    Result<Identity> self = Identity::load(layout.identity());
    if (!self) return std::move(self).error();
    if (!list.rights_of(self->key()).has(Right::admit)) {
        return Error{Errc::refused,
                     "this node may not admit members; run this on the cluster's primary"};
    }
    sign_list(list, *self);
    return ok_status();
}

// The list with the new node in it, signed; it begins with this node.
Status list_new_node(const Layout& layout, const ListedNode& fresh, MemberList& list) {
    if (list.version == 0) {
        Result<NodeFile> node = read_node_file(layout.node());
        if (!node) return std::move(node).error();
        Result<Identity> self = Identity::load(layout.identity());
        if (!self) return std::move(self).error();
        list.cluster = node->cluster;
        TANIST_TRY(add_listed(list, {.name = host_name(),
                                     .endpoint = "",
                                     .key = self->key(),
                                     .old_key = {},
                                     .rights = kPrimaryRights}));
    }
    TANIST_TRY(add_listed(list, fresh));
    return sign(layout, list);
}

// The new node first, then our files: what is lost in between is made good by the same command
// again, because a node that has joined takes the list of one who may admit.
Result<Membership> add_by_address(const Layout& layout, const OperatorCommand& command) {
    Result<NodeAddress> address = parse_node_address(command.node);
    if (!address) return std::move(address).error();
    Result<Membership> before = read_membership(layout);
    if (!before) return std::move(before).error();
    Result<Identity> self = Identity::load(layout.identity());
    if (!self) return std::move(self).error();
    const Member member{.name = command.name,
                        .endpoint = address->endpoint,
                        .key = address->key,
                        .witness = command.witness};
    std::vector<Member> members = before->members;
    TANIST_TRY(add_member(members, member));
    MemberList list = before->list;
    TANIST_TRY(list_new_node(layout,
                             {.name = members.back().name,
                              .endpoint = address->endpoint,
                              .key = address->key,
                              .old_key = {},
                              .rights = command.may_lead ? kPrimaryRights : Rights{}},
                             list));
    Status joined = join(*self, *address, list, kJoinPatience);
    if (!joined) {
        if (joined.error().code == Errc::refused &&
            joined.error().message.find("used already") != std::string::npos) {
            raise_alarm(layout, command.who, joined.error().message);
        }
        return std::move(joined).error();
    }
    return change_files(layout, [&](Membership& now) -> Status {
        if (now.list.version != before->list.version) {
            return Error{Errc::busy, "the members were changed meanwhile; run this again"};
        }
        now.list = list;
        return add_member(now.members, member);
    });
}

// Nobody connects to an operator, so there is nobody to join: the list is signed and handed on.
Status add_operator(const Layout& layout, const OperatorCommand& command, Membership& membership) {
    if (membership.list.version == 0) {
        return Error{Errc::refused,
                     "this cluster knows nobody by a key yet; add a node by the tanist:// address "
                     "that it prints first"};
    }
    if (command.name.empty()) {
        return Error{Errc::invalid, "an operator needs a name, for the audit log: --name NAME"};
    }
    ListedNode fresh{
        .name = command.name, .endpoint = "", .key = {}, .old_key = {}, .rights = kOperatorRights};
    if (command.node.size() != 2 * sizeof(NodeKey::bytes) ||
        !parse_hex(command.node, fresh.key.bytes.data(), fresh.key.bytes.size())) {
        return Error{Errc::invalid,
                     "an operator's key is 64 hex digits; `tanist keys make DIR` makes one and "
                     "shows it"};
    }
    TANIST_TRY(add_listed(membership.list, std::move(fresh)));
    return sign(layout, membership.list);
}

// A key that is taken off is signed away; every node that keeps the list cuts it.
Status take_off(const Layout& layout, const std::string& name, Membership& membership) {
    NodeKey key;
    for (const ListedNode& node : membership.list.nodes) {
        if (is_operator(node.rights) && node.name == name) key = node.key;
    }
    if (key.is_zero()) {
        for (const Member& member : membership.members) {
            if (member.name == name || member.endpoint == name) key = member.key;
        }
        TANIST_TRY(remove_member(membership.members, name));
    }
    if (key.is_zero() || !remove_listed(membership.list, key)) return ok_status();
    return sign(layout, membership.list);
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
    if (listed->rights.has(Right::lead) && listed->rights.has(Right::admit)) return ok_status();
    listed->rights = kPrimaryRights;
    return sign(layout, membership.list);
}

// What the engine last knew of this endpoint.
std::optional<PeerReport> report_on(const Control& control, const std::string& endpoint) {
    for (uint32_t i = 0; i < control->peers.load() && i < limits::kMembersMax; ++i) {
        PeerReport report = control.peer(i);
        if (report.endpoint == endpoint) return report;
    }
    return std::nullopt;
}

}  // namespace

Result<Membership> read_membership(const Layout& layout) {
    TANIST_TRY(check_primary(layout));
    Result<std::vector<Member>> members = read_members(layout.members());
    if (!members) return std::move(members).error();
    Result<MemberList> list = read_member_list(layout.member_list());
    if (!list) return std::move(list).error();
    return Membership{std::move(members).value(), std::move(list).value()};
}

Result<Membership> change_membership(const Layout& layout, const OperatorCommand& command) {
    using Kind = OperatorCommand::Kind;
    if (command.kind == Kind::members_add && is_node_address(command.node)) {
        return add_by_address(layout, command);
    }
    return change_files(layout, [&](Membership& membership) -> Status {
        if (command.kind == Kind::members_remove) {
            return take_off(layout, command.node, membership);
        }
        if (command.kind == Kind::members_allow_lead) {
            return allow_lead(layout, command.node, membership);
        }
        if (command.is_operator) return add_operator(layout, command, membership);
        return add_member(membership.members, {.name = command.name,
                                               .endpoint = command.node,
                                               .key = {},
                                               .witness = command.witness});
    });
}

std::string membership_json(const Layout& layout, const Membership& membership) {
    Result<Control> control = Control::open(layout.control(), false, false);
    Json members = Json::array();
    for (const Member& member : membership.members) {
        std::optional<PeerReport> report;
        if (control) report = report_on(*control, member.endpoint);
        members.push_back({{"name", member.name},
                           {"endpoint", member.endpoint},
                           {"witness", member.witness},
                           {"key", member.key.is_zero() ? Json() : Json(to_string(member.key))},
                           {"state", member.witness ? "witness"
                                     : report       ? to_string(report->state)
                                                    : "unknown"}});
    }
    Json operators = Json::array();
    for (const ListedNode& node : membership.list.nodes) {
        if (!is_operator(node.rights)) continue;
        operators.push_back({{"name", node.name}, {"key", to_string(node.key)}});
    }
    const Json all{{"database", layout.db}, {"members", members}, {"operators", operators}};
    return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tanist
