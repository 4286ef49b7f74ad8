#include "failover/node_command.h"

#include <algorithm>
#include <functional>

#include "replicator/base/file.h"
#include "replicator/base/random.h"
#include "replicator/control/audit.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/control/node_address.h"
#include "replicator/control/node_file.h"
#include "replicator/wire/admin_endpoint.h"
#include "replicator/wire/endpoint_probe.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kTicketPatience = 5s;
// How often it is asked whether the daemon that was told is still there.
constexpr Nanos kLookEvery = 250ms;

bool is_endpoint(const std::string& target) { return target.find("://") != std::string::npos; }

Error nobody_serves(const std::string& target) {
    return {Errc::unreachable,
            "no tanistd takes commands for " + target + "; start one: tanistd --db " + target};
}

// Whether the daemon that was told is gone, so that no answer can come any more.
using IsGone = std::function<bool()>;

// One that does not listen yet is not gone.
IsGone is_gone_from(const std::string& endpoint) {
    const bool served = !refuses_connections(endpoint);
    return [served, endpoint] { return served && refuses_connections(endpoint); };
}

// One message there and the answer that belongs to it; nothing when none came in time.
Result<std::optional<std::string>> exchange(Link& link, LinkId to, const OperatorCommand& command,
                                            Nanos patience, const IsGone& is_gone) {
    Message message;
    message.envelope.session = random_u64() | 1;
    message.body = Command{operator_command_json(command)};
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    if (!link.send(to, envelope, std::move(body))) return std::optional<std::string>();
    Instant deadline = boot_now() + patience;
    Instant look = boot_now() + kLookEvery;
    bool gone = false;
    for (Instant now = boot_now(); now < deadline; now = boot_now()) {
        link.wait({}, std::min(deadline, look) - now);
        while (std::optional<Incoming> incoming = link.receive()) {
            Result<Envelope> header = decode_envelope(incoming->envelope);
            if (!header || header->session != message.envelope.session) continue;
            Result<Body> answer = decode_body(*header, incoming->body);
            if (!answer) return std::move(answer).error();
            if (auto* refused = std::get_if<Refuse>(&*answer)) {
                return Error{Errc::refused, refused->text};
            }
            if (auto* result = std::get_if<CommandResult>(&*answer)) {
                return std::optional<std::string>(std::move(result->json));
            }
        }
        if (gone || boot_now() < look) continue;
        look = boot_now() + kLookEvery;
        gone = is_gone();
        if (gone) deadline = std::min(deadline, look);  // what it said last may be on its way
    }
    if (!gone) return std::optional<std::string>();
    return Error{Errc::unknown_outcome,
                 "tanistd was told and has ended before it answered, so how it came out is not "
                 "known; see: tanist status, of each member"};
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

// Through the admin socket.
Result<std::optional<std::string>> ask_here(const CommandAsk& ask) {
    std::string endpoint = ask.target;
    Result<AdminEndpoint> found = Error{};
    IsGone is_gone;
    if (!is_endpoint(ask.target)) {
        const Layout layout(ask.target);
        found = find_daemon(ask, layout);
        if (!found) return std::move(found).error();
        endpoint = found->text();
        is_gone = [lock = layout.ship_lock()] { return !engine_lives(lock); };
    } else if (!ask.target.starts_with("ipc://")) {
        return Error{Errc::refused,
                     "over the network commands need a key: give the node's tanist://KEY@HOST:PORT "
                     "and --as with an operator's key; or, on its machine, its database"};
    }
    Result<std::unique_ptr<Link>> link = Link::create();
    if (!link) return std::move(link).error();
    Result<LinkId> to = (*link)->connect(endpoint);
    if (!to) return std::move(to).error();
    OperatorCommand command = ask.command;
    command.who = local_user();
    if (!is_gone) is_gone = is_gone_from(endpoint);
    return exchange(**link, *to, command, ask.patience, is_gone);
}

// Over CURVE. First a ticket, which proves that the node is there and lets us in; nothing has
// happened when that fails.
Result<std::optional<std::string>> ask_there(const CommandAsk& ask) {
    Result<NodeAddress> address = parse_node_address(ask.target);
    if (!address) return std::move(address).error();
    if (ask.as.empty()) {
        return Error{Errc::invalid,
                     "by which key? --as with the directory of an operator's key "
                     "(tanist keys make)"};
    }
    Result<Identity> self = identity_of(ask.as);
    if (!self) return std::move(self).error();
    const std::optional<CurveKey> server = curve_key_of(address->key);
    if (!server) return Error{Errc::invalid, ask.target + ": that is no public key"};
    Result<std::unique_ptr<Link>> link = Link::create();
    if (!link) return std::move(link).error();
    TANIST_TRY((*link)->secure(self->curve(), {}));
    Result<LinkId> to = (*link)->connect_secured(address->endpoint, *server);
    if (!to) return std::move(to).error();
    const IsGone is_gone = is_gone_from(address->endpoint);
    Result<std::optional<std::string>> given =
        exchange(**link, *to, {}, kTicketPatience, [] { return false; });
    if (!given) return std::move(given).error().in(address->endpoint);
    const Json ticket = *given ? Json::parse(**given, nullptr, false) : Json();
    if (!ticket.is_object()) {
        return Error{Errc::unreachable,
                     "no node with that key answers us on " + address->endpoint +
                         "; does its tanistd run there, and is " + to_string(self->key()) +
                         " an operator's key on its list (tanist members list)?"};
    }
    OperatorCommand command = ask.command;
    command.ticket = ticket.value("ticket", "");
    return exchange(**link, *to, command, ask.patience, is_gone);
}

}  // namespace

Result<Identity> identity_of(const std::string& as) {
    const std::string of_operator = as + "/identity";
    return Identity::load(path_exists(of_operator) ? of_operator : Layout(as).identity());
}

Result<Json> command_node(const CommandAsk& ask, Json* whole) {
    Result<std::optional<std::string>> answer =
        is_node_address(ask.target) ? ask_there(ask) : ask_here(ask);
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
