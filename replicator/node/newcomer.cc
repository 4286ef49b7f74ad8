#include "replicator/node/newcomer.h"

#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/base/random.h"
#include "replicator/control/alarm.h"
#include "replicator/control/audit.h"
#include "replicator/control/host_name.h"
#include "replicator/control/key_rotation.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kLookEvery = 500ms;

void send(Link& link, LinkId to, uint64_t session, Body body) {
    Message message;
    message.envelope.session = session;
    message.body = std::move(body);
    Bytes envelope;
    Bytes frame;
    encode(message, envelope, frame);
    link.send(to, envelope, std::move(frame));
}

// What another machine can connect to, as far as we know.
std::string reachable(const std::string& endpoint) {
    const size_t colon = endpoint.rfind(':');
    const std::string host = endpoint.substr(0, colon);
    if (host != "tcp://0.0.0.0" && host != "tcp://[::]" && host != "tcp://*") return endpoint;
    return "tcp://" + host_name() + endpoint.substr(colon);
}

}  // namespace

Result<std::vector<std::string>> Newcomer::invite(Link& link,
                                                  const std::vector<std::string>& endpoints,
                                                  std::chrono::milliseconds expires) {
    std::vector<std::string> addresses;
    if (!door_.secured()) return addresses;
    if (door_.list().version > 0) {
        // Whoever presents the used one is told, and reported, as long as it would be good.
        Result<Invitation> used = read_invitation(door_.layout().invitation());
        if (used && unix_now_ns() < used->expires_unix_ns) invitation_ = *used;
        door_.set_inviting(link, invitation_.has_value());
        return addresses;
    }
    InviteSecret secret;
    random_bytes(secret.data(), secret.size());
    Invitation invitation;
    invitation.digest = invite_digest(secret);
    invitation.expires_unix_ns = unix_now_ns() + Nanos(expires).count();
    TANIST_TRY(write_invitation(door_.layout().invitation(), invitation));
    invitation_ = invitation;
    door_.set_inviting(link, true);
    for (const std::string& endpoint : endpoints) {
        if (!endpoint.starts_with("tcp://")) continue;
        addresses.push_back(
            to_string(NodeAddress{door_.identity().key(), reachable(endpoint), secret}));
    }
    return addresses;
}

bool Newcomer::takes(Link& link, const Incoming& incoming, const Envelope& envelope,
                     const Body& body, const ClusterId& cluster) {
    if (const auto* asked = std::get_if<Join>(&body)) {
        join(link, incoming, envelope, *asked, cluster);
        return true;
    }
    if (const auto* offered = std::get_if<MembersList>(&body)) {
        take_list(link, incoming, envelope, *offered);
        return true;
    }
    return false;
}

void Newcomer::join(Link& link, const Incoming& incoming, const Envelope& envelope,
                    const Join& join, const ClusterId& cluster) {
    const std::string who = "key " + to_string(join.node);
    breach_.clear();
    bool knows_secret = false;
    Status joined = why_not_invited(incoming, join, knows_secret);
    if (joined) joined = take_first_list(link, incoming, join, cluster);
    // Whoever floods costs neither disk nor answers. Guesses do not use up what is left for those
    // who know the secret.
    InviteFailures& failures = knows_secret ? late_ : guesses_;
    if (!joined && !failures.answer(unix_now_ns())) return;
    if (!breach_.empty()) raise_alarm(door_.layout(), who, breach_);
    Status kept = audit(door_.layout(), {.who = who,
                                         .what = "join",
                                         .target = name_,
                                         .result = joined ? "done" : joined.error().message});
    if (!kept) note(NoteLevel::warning, "the audit log takes nothing", {});
    if (!joined) {
        return door_.refuse(link, incoming.from, envelope, RefuseCode::invitation,
                            joined.error().message);
    }
    note(NoteLevel::info, "joined a cluster", {{"by", who}});
    send(link, incoming.from, envelope.session, Joined{door_.identity().key(), name_});
}

// A member that may admit needs no invitation: it repeats what may have been lost.
Status Newcomer::why_not_invited(const Incoming& incoming, const Join& join, bool& knows_secret) {
    if (curve_key_of(join.node) != std::optional<CurveKey>(incoming.caller.curve)) {
        return Error{Errc::refused, "it names another node than its key is of"};
    }
    if (incoming.caller.kind == Caller::Kind::member) return ok_status();
    const Invitation* invitation = invitation_ ? &*invitation_ : nullptr;
    const InviteAnswer answer = present(invitation, join.secret, unix_now_ns());
    knows_secret = answer != InviteAnswer::wrong_secret && answer != InviteAnswer::none;
    if (answer == InviteAnswer::taken) return ok_status();
    if (answer == InviteAnswer::used) {
        breach_ = "the invitation of this node was presented a second time, by key " +
                  to_string(join.node) + ", after key " + to_string(invitation->used_by) +
                  " had used it; one of the two was not meant to have it";
    }
    return Error{Errc::refused, say(answer, invitation)};
}

Status Newcomer::take_first_list(Link& link, const Incoming& incoming, const Join& join,
                                 const ClusterId& cluster) {
    Result<MemberList> list = decode_member_list(join.list);
    if (!list) return std::move(list).error();
    if (*list == door_.list()) return ok_status();
    const bool member = incoming.caller.kind == Caller::Kind::member;
    const std::string why = why_list_refused(door_.list(), *list, member ? NodeKey{} : join.node);
    if (!why.empty()) return Error{Errc::refused, why};
    if (list->node_of(door_.identity().key()) == nullptr) {
        return Error{Errc::refused, "the member list does not name this node's key"};
    }
    if (!cluster.is_zero() && cluster != list->cluster) {
        return Error{Errc::refused, "this node belongs to another cluster"};
    }
    if (invitation_) {
        invitation_->used_by = join.node;
        TANIST_TRY(write_invitation(door_.layout().invitation(), *invitation_));
    }
    // Strangers stay admitted until it expires: a second one must be told, and reported.
    return door_.take_list(link, std::move(list).value(), true);
}

void Newcomer::take_list(Link& link, const Incoming& incoming, const Envelope& envelope,
                         const MembersList& offered) {
    primary_ = incoming.from;
    session_ = envelope.session;
    Result<MemberList> list = decode_member_list(offered.list);
    std::string why = list ? "" : list.error().message;
    if (list && *list != door_.list()) {
        why = why_list_refused(door_.list(), *list, NodeKey{});
        if (why.empty()) {
            const uint64_t version = list->version;
            Status taken = door_.take_list(link, std::move(list).value(), true);
            if (!taken) why = taken.error().message;
            if (taken) note(NoteLevel::info, "member list", {{"version", std::to_string(version)}});
        }
    }
    if (!why.empty()) note(NoteLevel::warning, "member list refused", {{"reason", why}});
    send(link, incoming.from, envelope.session, MembersHave{door_.list().version});
    announced_ = {};
    announce(link);
}

void Newcomer::tick(Link& link) {
    const Instant now = boot_now();
    if (looked_.ns != 0 && now - looked_ < kLookEvery) return;
    looked_ = now;
    if (invitation_ && unix_now_ns() >= invitation_->expires_unix_ns) {
        door_.set_inviting(link, false);
    }
    announce(link);
}

// Step 2 and 3 of a rotation (control/key_rotation.h).
void Newcomer::announce(Link& link) {
    if (primary_ == 0 || !path_exists(door_.layout().next_identity())) return;
    Result<Identity> next = Identity::load(door_.layout().next_identity());
    if (!next) return;
    const NodeKey fresh = next->key();
    const NodeKey present = door_.identity().key();
    const ListedNode* self = door_.list().node_of(present);
    if (self != nullptr && self->key == fresh) {
        // A voter's key is who it is there: the list of voters says when (voter_rotation.cc).
        if (path_exists(door_.layout().voters())) return;
        primary_ = 0;
        if (Status taken = door_.take_next_identity(link); !taken) {
            note(NoteLevel::error, "the new key is not used", {{"reason", taken.error().message}});
        }
        return;
    }
    if (announced_ == fresh) return;
    const Bytes statement = new_key_statement(door_.list().cluster, present, fresh);
    announced_ = fresh;
    send(link, primary_, session_,
         NewKey{fresh, door_.identity().sign(statement), next->sign(statement)});
}

}  // namespace tanist
