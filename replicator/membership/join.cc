#include "replicator/membership/join.h"

#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

// One connection's try. Nothing: no answer.
std::optional<Status> ask_once(Link& link, const NodeAddress& address, const Message& question,
                               Instant deadline) {
    std::optional<CurveKey> server = curve_key_of(address.key);
    if (!server) return Status(Error{Errc::invalid, "the address has no public key"});
    Result<LinkId> to = link.connect_secured(address.endpoint, *server);
    if (!to) return Status(std::move(to).error());
    Bytes envelope;
    Bytes body;
    encode(question, envelope, body);
    link.send(*to, envelope, std::move(body));
    for (Instant now = boot_now(); now < deadline; now = boot_now()) {
        link.wait({}, deadline - now);
        while (std::optional<Incoming> incoming = link.receive()) {
            Result<Envelope> header = decode_envelope(incoming->envelope);
            if (!header) return Status(std::move(header).error().in(address.endpoint));
            Result<Body> answer = decode_body(*header, incoming->body);
            if (!answer) return Status(std::move(answer).error().in(address.endpoint));
            if (std::holds_alternative<Joined>(*answer)) return ok_status();
            if (auto* refused = std::get_if<Refuse>(&*answer)) {
                return Status(Error{Errc::refused, address.endpoint + ": " + refused->text});
            }
        }
    }
    link.close(*to);
    return std::nullopt;
}

}  // namespace

Status join(const Identity& self, const NodeAddress& address, const MemberList& list,
            Nanos patience) {
    Result<std::unique_ptr<Link>> link = Link::create();
    if (!link) return std::move(link).error();
    TANIST_TRY((*link)->secure(self.curve(), {}));
    Message question;
    Join asked;
    asked.secret = address.invite.value_or(InviteSecret{});
    asked.node = self.key();
    asked.list = encode_member_list(list);
    question.body = std::move(asked);
    // What was sent once may have been taken: no second try, the command can be repeated.
    std::optional<Status> answer = ask_once(**link, address, question, boot_now() + patience);
    if (answer) return *answer;
    return Error{Errc::unreachable,
                 "no answer from a node with that key on " + address.endpoint +
                     "; does its tanistd run there, is the port open, is its invitation still "
                     "good? Then run the same command again, which is safe"};
}

}  // namespace tanist
