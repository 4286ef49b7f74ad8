#include "replicator/node/door.h"

#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/control/alarm.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

// A flood of denied messages is one note in this time.
constexpr Nanos kTellEvery = 5s;

std::string who(const Caller& caller) {
    switch (caller.kind) {
        case Caller::Kind::local:
            return "a local connection";
        case Caller::Kind::stranger:
            return "unknown CURVE key " + to_string(caller.curve);
        case Caller::Kind::member:
            return "key " + to_string(caller.node);
    }
    return "?";
}

}  // namespace

Door::Door(Layout layout, const Settings& settings)
    : layout_(std::move(layout)), curve_(settings.curve) {
    policy_.status_local = settings.status_open.value_or(true);
    policy_.status_strangers = settings.status_open.value_or(false);
}

Status Door::open(Link& link) {
    Result<Identity> identity = Identity::load(layout_.identity());
    if (!identity) return std::move(identity).error();
    identity_ = std::move(identity).value();
    Result<MemberList> list = read_member_list(layout_.member_list());
    if (!list) return std::move(list).error();
    return take_list(link, std::move(list).value(), false);
}

Status Door::secure(Link& link) {
    policy_.keyed = list_.version > 0;
    return link.secure(identity_->curve(),
                       {list_.allowed(), policy_.inviting || policy_.status_strangers});
}

Status Door::take_list(Link& link, MemberList list, bool store) {
    if (store) TANIST_TRY(write_member_list(layout_.member_list(), list));
    list_ = std::move(list);
    for (const ListedNode& node : list_.nodes) {
        if (!node.old_key.is_zero()) first_keys_[node.key] = first_key_of(node.old_key);
    }
    return secure(link);
}

NodeKey Door::first_key_of(const NodeKey& key) const {
    auto found = first_keys_.find(key);
    return found == first_keys_.end() ? key : found->second;
}

Status Door::take_next_identity(Link& link) {
    TANIST_TRY(rename_path(layout_.next_identity(), layout_.identity()));
    TANIST_TRY(sync_directory(layout_.directory));
    return follow_identity(link);
}

Status Door::follow_identity(Link& link) {
    Result<Identity> identity = Identity::load(layout_.identity());
    if (!identity) return std::move(identity).error();
    identity_ = std::move(identity).value();
    note(NoteLevel::info, "this node has a new key", {{"key", to_string(identity_->key())}});
    return secure(link);
}

void Door::set_inviting(Link& link, bool inviting) {
    if (policy_.inviting == inviting) return;
    policy_.inviting = inviting;
    if (Status secured = secure(link); !secured) {
        note(NoteLevel::error, "keys not in force", {{"reason", secured.error().message}});
    }
}

Result<std::string> Door::bind(Link& link, const std::string& endpoint) {
    if (is_local_endpoint(endpoint) && !curve_) return link.bind(endpoint);
    Result<std::string> bound = link.bind_secured(endpoint);
    if (bound) secured_ = true;
    return bound;
}

Result<LinkId> Door::connect(Link& link, const std::string& endpoint, const NodeKey& key) {
    if (key.is_zero()) {
        TANIST_TRY(check_endpoint(endpoint));
        return link.connect(endpoint);
    }
    std::optional<CurveKey> server = curve_key_of(key);
    if (!server) return Error{Errc::invalid, endpoint + ": the member's key is no public key"};
    return link.connect_secured(endpoint, *server);
}

bool Door::admits(Link& link, const Incoming& incoming, const Envelope& envelope) {
    const char* why = why_denied(incoming.caller, envelope.type, policy_);
    if (*why == 0) return true;
    tell_denied(incoming.caller, envelope.type, why);
    if (envelope.type == MessageType::hello || envelope.type == MessageType::join ||
        envelope.type == MessageType::status_ask || envelope.type == MessageType::command) {
        refuse(link, incoming.from, envelope, RefuseCode::not_allowed, why);
    }
    return false;
}

bool Door::is_genuine(Link& link, const Incoming& incoming, const Envelope& envelope,
                      const Body& body) {
    const char* why = why_forged(incoming.caller, body);
    if (*why == 0) return true;
    tell_denied(incoming.caller, envelope.type, why);
    refuse(link, incoming.from, envelope, RefuseCode::not_allowed, why);
    return false;
}

// A member that says what it may not is a breach; a stranger at the door is not.
void Door::tell_denied(const Caller& caller, MessageType type, const char* why) {
    const Instant now = boot_now();
    if (told_.ns != 0 && now - told_ < kTellEvery) return;
    told_ = now;
    if (caller.kind == Caller::Kind::member) {
        raise_alarm(layout_, who(caller),
                    std::string("refused ") + to_string(type) + " of " + who(caller) + ": " + why);
        return;
    }
    note(NoteLevel::warning, "message denied",
         {{"who", who(caller)}, {"type", to_string(type)}, {"reason", why}});
}

void Door::refuse(Link& link, LinkId to, const Envelope& asked, RefuseCode code,
                  const std::string& text) {
    Message answer;
    answer.envelope.session = asked.session;
    answer.envelope.epoch = asked.epoch;
    answer.body = Refuse{code, text};
    Bytes envelope;
    Bytes body;
    encode(answer, envelope, body);
    link.send(to, envelope, std::move(body));
}

}  // namespace tanist
