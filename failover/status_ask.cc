#include "failover/status_ask.h"

#include "replicator/control/settings.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {

Result<std::string> ask_status(const std::string& endpoint, Nanos timeout) {
    TANIST_TRY(check_endpoint(endpoint));
    Result<std::unique_ptr<Link>> link = Link::create();
    if (!link) return std::move(link).error();
    Result<LinkId> to = (*link)->connect(endpoint);
    if (!to) return std::move(to).error();
    Message question;
    question.body = StatusAsk{};
    Bytes envelope;
    Bytes body;
    encode(question, envelope, body);
    const Error silent{Errc::unreachable, "nobody answers on " + endpoint +
                                              "; is tanistd running there, and is this its "
                                              "--listen endpoint?"};
    if (!(*link)->send(*to, envelope, std::move(body))) return silent;
    const Instant deadline = boot_now() + timeout;
    for (Instant now = boot_now(); now < deadline; now = boot_now()) {
        (*link)->wait({}, deadline - now);
        while (std::optional<Incoming> incoming = (*link)->receive()) {
            Result<Envelope> header = decode_envelope(incoming->envelope);
            if (!header) return std::move(header).error().in(endpoint);
            if (header->type != MessageType::status) continue;
            Result<Body> answer = decode_body(*header, incoming->body);
            if (!answer) return std::move(answer).error().in(endpoint);
            return std::get<StatusText>(*answer).json;
        }
    }
    return silent;
}

}  // namespace tanist
