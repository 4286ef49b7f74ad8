#include "replicator/control/operator_command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "replicator/control/node_address.h"

namespace tanist {
namespace {

using Json = nlohmann::ordered_json;
using Kind = OperatorCommand::Kind;

constexpr size_t kTextBytesMax = 512;  // the longest is an address

struct Name {
    Kind kind;
    const char* text;
};
constexpr Name kNames[] = {
    {Kind::ticket, "ticket"},
    {Kind::fence, "fence"},
    {Kind::unfence, "unfence"},
    {Kind::promote, "promote"},
    {Kind::switchover, "switchover"},
    {Kind::pause, "pause"},
    {Kind::resume, "resume"},
    {Kind::recover, "recover"},
    {Kind::members_list, "members list"},
    {Kind::members_add, "members add"},
    {Kind::members_remove, "members remove"},
    {Kind::members_allow_lead, "members allow-lead"},
};

template <class T>
struct Field {
    const char* name;
    T OperatorCommand::*at;
};
constexpr Field<std::string> kTexts[] = {
    {"ticket", &OperatorCommand::ticket}, {"who", &OperatorCommand::who},
    {"to", &OperatorCommand::to},         {"asserted", &OperatorCommand::asserted},
    {"node", &OperatorCommand::node},     {"name", &OperatorCommand::name},
};
constexpr Field<bool> kFlags[] = {
    {"dry_run", &OperatorCommand::dry_run},         {"force", &OperatorCommand::force},
    {"accept_loss", &OperatorCommand::accept_loss}, {"may_lead", &OperatorCommand::may_lead},
    {"witness", &OperatorCommand::witness},         {"is_operator", &OperatorCommand::is_operator},
};

Error wrong(const std::string& why) { return {Errc::invalid, "the command is not valid: " + why}; }

Status take_kind(const Json& value, OperatorCommand& command) {
    if (!value.is_string()) return wrong("its name is no text");
    const auto& name = value.get_ref<const std::string&>();
    const auto* known = std::find_if(std::begin(kNames), std::end(kNames),
                                     [&](const Name& candidate) { return name == candidate.text; });
    if (known == std::end(kNames)) {
        return wrong("this tanistd does not know \"" + name.substr(0, kTextBytesMax) + "\"");
    }
    command.kind = known->kind;
    return ok_status();
}

Status take_field(const std::string& name, const Json& value, OperatorCommand& command) {
    if (name == "command") return take_kind(value, command);
    for (const auto& field : kTexts) {
        if (name != field.name) continue;
        if (!value.is_string()) return wrong(name + " is no text");
        const auto& text = value.get_ref<const std::string&>();
        if (text.size() > kTextBytesMax) return wrong(name + " is too long");
        command.*field.at = text;
        return ok_status();
    }
    for (const auto& field : kFlags) {
        if (name != field.name) continue;
        if (!value.is_boolean()) return wrong(name + " is neither true nor false");
        command.*field.at = value.get<bool>();
        return ok_status();
    }
    return wrong("this tanistd does not know \"" + name.substr(0, kTextBytesMax) + "\" in it");
}

}  // namespace

const char* to_string(Kind kind) {
    for (const Name& name : kNames) {
        if (name.kind == kind) return name.text;
    }
    return "?";
}

std::string target_of(const OperatorCommand& command) {
    if (command.kind == Kind::switchover) return command.to;
    if (!is_node_address(command.node)) return command.node;
    auto address = parse_node_address(command.node);
    if (!address) return "an address that is none";
    address->invite.reset();
    return to_string(*address);
}

bool is_about_members(Kind kind) {
    return kind == Kind::members_list || kind == Kind::members_add ||
           kind == Kind::members_remove || kind == Kind::members_allow_lead;
}

Result<OperatorCommand> parse_operator_command(std::string_view text) {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return wrong("it is no JSON object");
    if (!json.contains("command")) return wrong("it has no name");
    OperatorCommand command;
    for (const auto& [name, value] : json.items()) TANIST_TRY(take_field(name, value, command));
    return command;
}

std::string operator_command_json(const OperatorCommand& command) {
    Json json{{"command", to_string(command.kind)}};
    for (const auto& field : kTexts) {
        if (!(command.*field.at).empty()) json[field.name] = command.*field.at;
    }
    for (const auto& field : kFlags) {
        if (command.*field.at) json[field.name] = true;
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Tickets::give(const NodeKey& to, const Number& random, Instant now) {
    if (out_.size() >= kOutMax) {
        out_.erase(std::min_element(out_.begin(), out_.end(), [](const auto& a, const auto& b) {
            return a.second.given < b.second.given;
        }));
    }
    std::string ticket = hex(random.data(), random.size());
    out_[ticket] = {to, now};
    return ticket;
}

bool Tickets::take(const NodeKey& from, const std::string& ticket, Instant now) {
    const auto found = out_.find(ticket);
    if (found == out_.end() || found->second.to != from) return false;
    const bool good = now - found->second.given < kGoodFor;
    out_.erase(found);
    return good;
}

}  // namespace tanist
