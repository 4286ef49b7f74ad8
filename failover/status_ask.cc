#include "failover/status_ask.h"

#include "replicator/control/settings.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

Result<std::string> ask(Link& link, LinkId to, const std::string& endpoint, const Error& silent,
                        Nanos timeout) {
    Message question;
    question.body = StatusAsk{};
    Bytes envelope;
    Bytes body;
    encode(question, envelope, body);
    if (!link.send(to, envelope, std::move(body))) return silent;
    const Instant deadline = boot_now() + timeout;
    for (Instant now = boot_now(); now < deadline; now = boot_now()) {
        link.wait({}, deadline - now);
        while (std::optional<Incoming> incoming = link.receive()) {
            Result<Envelope> header = decode_envelope(incoming->envelope);
            if (!header) return std::move(header).error().in(endpoint);
            Result<Body> answer = decode_body(*header, incoming->body);
            if (!answer) return std::move(answer).error().in(endpoint);
            if (auto* refused = std::get_if<Refuse>(&*answer)) {
                return Error{Errc::refused, endpoint + ": " + refused->text};
            }
            if (auto* status = std::get_if<StatusText>(&*answer)) return status->json;
        }
    }
    return silent;
}

}  // namespace

Result<std::string> ask_status(const std::string& endpoint, Nanos timeout) {
    TANIST_TRY(check_endpoint(endpoint));
    Result<std::unique_ptr<Link>> link = Link::create();
    if (!link) return std::move(link).error();
    Result<LinkId> to = (*link)->connect(endpoint);
    if (!to) return std::move(to).error();
    return ask(**link, *to, endpoint,
               {Errc::unreachable, "nobody answers on " + endpoint +
                                       "; is tanistd running there, and is this its --listen "
                                       "endpoint?"},
               timeout);
}

Result<std::string> ask_status(const NodeAddress& node, const Identity& self, Nanos timeout) {
    Result<std::unique_ptr<Link>> link = Link::create();
    if (!link) return std::move(link).error();
    TANIST_TRY((*link)->secure(self.curve(), {}));
    std::optional<CurveKey> server = curve_key_of(node.key);
    if (!server) return Error{Errc::invalid, node.endpoint + ": that is no public key"};
    Result<LinkId> to = (*link)->connect_secured(node.endpoint, *server);
    if (!to) return std::move(to).error();
    return ask(
        **link, *to, node.endpoint,
        {Errc::unreachable, "no node with that key answers us on " + node.endpoint +
                                "; is tanistd running there? Only members are answered, unless its "
                                "status_open is true: --as DATABASE asks as a member"},
        timeout);
}

}  // namespace tanist
