#include "failover/node_command.h"

#include "replicator/base/random.h"
#include "replicator/control/audit.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/control/node_file.h"
#include "replicator/wire/admin_endpoint.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

bool is_endpoint(const std::string& target) { return target.find("://") != std::string::npos; }

Error nobody_serves(const std::string& target) {
    return {Errc::unreachable,
            "no tanistd takes commands for " + target + "; start one: tanistd --db " + target};
}

// The answer as it came; nothing when none did in time.
Result<std::optional<std::string>> exchange(const std::string& endpoint, const Json& command,
                                            Nanos patience) {
    Result<std::unique_ptr<Link>> link = Link::create();
    if (!link) return std::move(link).error();
    Result<LinkId> to = (*link)->connect(endpoint);
    if (!to) return std::move(to).error();
    Message message;
    message.envelope.session = random_u64() | 1;
    message.body = Command{command.dump(-1, ' ', false, Json::error_handler_t::replace)};
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    if (!(*link)->send(*to, envelope, std::move(body))) return std::optional<std::string>();
    const Instant deadline = boot_now() + patience;
    for (Instant now = boot_now(); now < deadline; now = boot_now()) {
        (*link)->wait({}, deadline - now);
        while (std::optional<Incoming> incoming = (*link)->receive()) {
            Result<Envelope> header = decode_envelope(incoming->envelope);
            if (!header || header->session != message.envelope.session) continue;
            Result<Body> answer = decode_body(*header, incoming->body);
            if (!answer) return std::move(answer).error().in(endpoint);
            if (auto* result = std::get_if<CommandResult>(&*answer)) {
                return std::optional<std::string>(std::move(result->json));
            }
        }
    }
    return std::optional<std::string>();
}

Result<Json> read_answer(const std::string& text) {
    Json answer = Json::parse(text, nullptr, false);
    if (!answer.is_object()) {
        return Error{Errc::corrupt, "tanistd answered something that is no result"};
    }
    if (answer.value("done", false)) return answer;
    const std::string code = answer.value("code", "");
    return Error{code == "refused"       ? Errc::refused
                 : code == "unreachable" ? Errc::unreachable
                                         : Errc::io,
                 answer.value("error", "tanistd gave no reason")};
}

// Where the daemon of a database listens, once one does.
Result<AdminEndpoint> find_daemon(const CommandAsk& ask, const Layout& layout) {
    Result<NodeFile> node = read_node_file(layout.node());
    if (!node) {
        if (node.error().code != Errc::not_found) return std::move(node).error();
        return Error{Errc::not_found,
                     layout.db + " is not set up for replication; run: tanist init " + ask.target};
    }
    if (!engine_lives(layout.ship_lock())) {
        if (!ask.starting || node->role == Role::replica) return nobody_serves(ask.target);
        TANIST_TRY(start_engine(layout.db));
    }
    return AdminEndpoint::in(layout.directory);
}

}  // namespace

Result<Json> command_node(const CommandAsk& ask, Json* whole) {
    std::string endpoint = ask.target;
    Result<AdminEndpoint> found = Error{};
    if (!is_endpoint(ask.target)) {
        found = find_daemon(ask, Layout(ask.target));
        if (!found) return std::move(found).error();
        endpoint = found->text();
    } else if (!ask.target.starts_with("ipc://")) {
        return Error{Errc::refused,
                     "commands are taken on a daemon's admin socket only, on its own machine; "
                     "give the database's path there"};
    }
    Json command = ask.command;
    command["who"] = local_user();
    Result<std::optional<std::string>> answer = exchange(endpoint, command, ask.patience);
    if (!answer) return std::move(answer).error();
    if (!*answer) {
        return Error{Errc::unknown_outcome,
                     "tanistd took the command and did not answer in time; "
                     "see: tanist status " +
                         ask.target};
    }
    if (whole != nullptr) *whole = Json::parse(**answer, nullptr, false);
    return read_answer(**answer);
}

}  // namespace tanist
