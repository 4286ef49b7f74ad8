#include "replicator/wire/authority.h"

namespace tanist {
namespace {

using Kind = Caller::Kind;

enum class Subject { stream, vote, list, join, status, command, answer };

Subject subject_of(MessageType type) {
    switch (type) {
        case MessageType::hello:
        case MessageType::data:
        case MessageType::heartbeat:
        case MessageType::sync_begin:
        case MessageType::sync_pages:
        case MessageType::sync_end:
        case MessageType::refuse:
        case MessageType::history:
        case MessageType::roster:
        case MessageType::voters:
            return Subject::stream;
        case MessageType::vote:
            return Subject::vote;
        case MessageType::members:
            return Subject::list;
        case MessageType::join:
            return Subject::join;
        case MessageType::status_ask:
            return Subject::status;
        case MessageType::command:
            return Subject::command;
        default:
            return Subject::answer;
    }
}

}  // namespace

const char* why_denied(const Caller& caller, MessageType type, const AuthorityPolicy& policy) {
    const bool member = caller.kind == Kind::member;
    switch (subject_of(type)) {
        case Subject::stream:
            if (caller.kind == Kind::local && !policy.keyed) return "";
            if (member && caller.rights.has(Right::lead)) return "";
            return member ? "its key may not lead this cluster"
                          : "this node follows keys of its cluster only";
        case Subject::vote:
            if (member && !is_operator(caller.rights)) return "";
            if (caller.kind == Kind::local && !policy.keyed) return "";
            return "only members of its cluster vote here";
        case Subject::list:
            return member && caller.rights.has(Right::lead) ? "" : "its key may not lead";
        case Subject::join:
            if (member && caller.rights.has(Right::admit)) return "";
            if (caller.kind == Kind::stranger && policy.inviting) return "";
            return "nobody is invited here";
        case Subject::status:
            if (caller.kind == Kind::local ? policy.status_local : member) return "";
            if (caller.kind == Kind::stranger && policy.status_strangers) return "";
            return "the status is for members only";
        case Subject::command:
            if (member && is_operator(caller.rights)) return "";
            return "only an operator's key commands a node over the network";
        case Subject::answer:
            break;
    }
    return "nobody asked for that";
}

const char* why_forged(const Caller& caller, const Body& body) {
    const auto* hello = std::get_if<Hello>(&body);
    const auto* vote = std::get_if<Vote>(&body);
    const auto* voters = std::get_if<Voters>(&body);
    if (caller.kind != Kind::member) return "";
    const NodeKey* named = hello != nullptr    ? &hello->node
                           : vote != nullptr   ? &vote->from
                           : voters != nullptr ? &voters->from
                                               : nullptr;
    if (named == nullptr || *named == caller.node) return "";
    return "it names another node than its key is of";
}

}  // namespace tanist
