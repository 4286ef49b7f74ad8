// Where an operator's commands arrive: from the admin socket, whose file permission is the
// authority, or over the network from an operator's key (wire/authority). Then they are the same.
#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/control/audit.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string name_of(const MemberList& list, const NodeKey& key) {
    const ListedNode* node = list.node_of(key);
    return "operator " + (node == nullptr ? "?" : node->name) + ", key " + to_string(key);
}

}  // namespace

// Members are changed in files, which the node thread need not wait for.
void Node::State::begin_command(OperatorCommand command, AdminServer::Answer answer) {
    if (is_about_members(command.kind)) return membership->put(std::move(command), answer);
    orders.put(node_order::Command{std::move(command), std::move(answer)});
}

void Node::State::take_local_command(const std::string& json, AdminServer::Answer answer) {
    auto command = parse_operator_command(json);
    if (!command) return answer(dump(failure(command.error())));
    begin_command(std::move(command).value(), std::move(answer));
}

// Requires: the door admitted it.
bool Node::State::take_command(const Incoming& incoming, const Envelope& envelope) {
    auto body = decode_body(envelope, incoming.body.bytes());
    if (!body) return true;
    AdminServer::Answer answer = [to = incoming.from, session = envelope.session,
                                  replies = network_answers](std::string json) {
        replies->put({to, session, std::move(json)});
    };
    auto command = parse_operator_command(std::get<Command>(*body).json);
    const NodeKey& key = incoming.caller.node;
    if (command && command->kind == OperatorCommand::Kind::ticket) {
        Tickets::Number number;
        random_bytes(number.data(), number.size());
        Json given = success();
        given["ticket"] = tickets.give(key, number, boot_now());
        answer(dump(given));
        return true;
    }
    if (command && !tickets.take(key, command->ticket, boot_now())) {
        audit_outcome_of({name_of(keys.list(), key), to_string(command->kind), layout.db, ""},
                         Error{Errc::refused, "refused: without a ticket, or with an old one"});
        command = Error{Errc::refused,
                        "the command came twice or too late, so nothing was done; give it again"};
    }
    if (!command) {
        answer(dump(failure(command.error())));
        return true;
    }
    command->who = name_of(keys.list(), key);
    begin_command(std::move(command).value(), std::move(answer));
    return true;
}

// Whatever it came to; one that only looked leaves no line.
void Node::State::audit_answer(const OperatorCommand& command, const Json& answer) {
    if (command.dry_run) return;
    const std::string target = target_of(command);
    Status written = audit(
        layout, {.who = command.who,
                 .what = to_string(command.kind),
                 .target = target.empty() ? layout.db : target,
                 .result = answer.value("done", false) ? "done" : answer.value("error", "failed")});
    if (!written) note(NoteLevel::warning, "not audited", {{"reason", written.error().message}});
}

void Node::State::send_answers() {
    if (key_changed.exchange(false)) {
        if (Status followed = keys.follow_identity(*bound); !followed) {
            control.set_problem(followed.error().message);
        }
    }
    for (NetworkAnswer& said : network_answers->take()) {
        if (said.to == 0) continue;  // it only woke us
        Message message;
        message.envelope.session = said.session;
        message.body = CommandResult{std::move(said.json)};
        Bytes envelope;
        Bytes body;
        encode(message, envelope, body);
        bound->send(said.to, envelope, std::move(body));
    }
}

}  // namespace tanist
