#include "replicator/node/vote_link.h"

#include <algorithm>

#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/control/members.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

// A connection on which nothing is answered for so long is opened anew. One that does not come
// about is given twice the time at each attempt: it takes about five round trips, however long
// those are.
constexpr Nanos kSilentAfter = 1s;
constexpr Nanos kSilentAtMost = 4s;
// While the voter has two keys and was not heard under one of them, it gets a part of that only.
constexpr int kPartForEachKey = 4;
// One that takes nothing is opened anew, but not more often than this.
constexpr Nanos kReopenEvery = 100ms;
constexpr Nanos kHandEvery = 500ms;
// Who has the list is asked again: it may have lost it since.
constexpr Nanos kAskEvery = 2s;
// How long a witness waits for the list while a voter with data has not got it. Not for ever: that
// one may be down, and the witness be needed for a majority.
constexpr Nanos kDataFirst = 2s;
constexpr Nanos kLookAtKeysEvery = 500ms;

bool send_on(Link& link, LinkId to, Body content) {
    Message message;
    message.body = std::move(content);
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    return link.send(to, envelope, std::move(body));
}

}  // namespace

Status VoteLink::open(const VoterList& list) {
    auto link = Link::create();
    if (!link) return std::move(link).error();
    link_ = std::move(link).value();
    TANIST_TRY(door_.open(*link_));
    list_id_ = list.config.id;
    list_ = encode(list);
    for (const VoterAddress& address : list.addresses) {
        if (address.node == door_.identity().key()) continue;
        Peer& peer = peers_[address.node];
        peer.address = address;
        peer.patience = kSilentAfter;
        const failover::Member* member = list.config.find(address.node);
        peer.witness = member != nullptr && member->witness;
    }
    return ok_status();
}

void VoteLink::reopen(Peer& peer, Instant now) {
    if (peer.link != 0) link_->close(peer.link);
    peer.link = 0;
    peer.opened = now;
    peer.asked = peer.held = Instant{0};
    peer.used = false;
    NodeKey key = peer.address.secured ? peer.address.node : NodeKey{};
    if (const ListedNode* node = rotating(peer)) {
        key = peer.attempts++ % 2 == 0 ? node->key : node->old_key;
        if (node->holds(peer.speaks_as)) key = peer.speaks_as;
    }
    auto link = door_.connect(*link_, peer.address.endpoint, key);
    if (link) peer.link = *link;
}

// The voter in the member list, when its key is just being changed.
const ListedNode* VoteLink::rotating(const Peer& peer) const {
    if (!peer.address.secured) return nullptr;
    const ListedNode* node = door_.list().node_of(peer.address.node);
    return node == nullptr || node->old_key.is_zero() ? nullptr : node;
}

// What cannot be sent is lost, as on any network.
bool VoteLink::put(Peer& peer, Body body, Instant now) {
    if (peer.link == 0) {
        if (peer.opened.ns != 0 && now - peer.opened < kReopenEvery) return false;
        reopen(peer, now);
        if (peer.link == 0) return false;
    }
    if (send_on(*link_, peer.link, std::move(body))) {
        if (peer.asked.ns == 0) peer.asked = now;
        peer.used = true;
        return true;
    }
    link_->close(peer.link);
    peer.link = 0;
    return false;
}

void VoteLink::send(const NodeKey& to, const failover::Message& message, Instant now) {
    auto peer = peers_.find(to);
    if (peer == peers_.end()) return;
    put(peer->second, Vote{door_.identity().key(), failover::encode(message)}, now);
}

void VoteLink::heard(const NodeKey& from, Instant now) {
    auto peer = peers_.find(from);
    if (peer == peers_.end()) {
        // Of a voter that does not know yet that it votes with another key.
        const ListedNode* node = door_.list().node_of(from);
        auto other = node == nullptr ? peers_.end() : peers_.find(node->key);
        if (other != peers_.end()) other->second.speaks_as = from;
        return;
    }
    peer->second.heard = now;
    peer->second.asked = Instant{0};
    peer->second.speaks_as = from;
}

Instant VoteLink::heard_at(const NodeKey& voter) const {
    auto peer = peers_.find(voter);
    return peer == peers_.end() ? Instant{0} : peer->second.heard;
}

bool VoteLink::is_dead(Peer& peer, Instant now) const {
    const bool unsure = rotating(peer) != nullptr && peer.speaks_as.is_zero();
    if (!link_->holds(peer.link)) {
        if (peer.used) peer.patience = kSilentAfter;
        peer.held = Instant{0};
    } else if (peer.held.ns == 0) {
        peer.held = now;
    }
    const Nanos patience = unsure ? peer.patience / kPartForEachKey : peer.patience;
    const bool silent = peer.asked.ns != 0 && now - peer.asked >= patience;
    return silent || (peer.held.ns != 0 && now - peer.held >= patience);
}

void VoteLink::tend(Instant now) {
    if (first_tended_.ns == 0) first_tended_ = now;
    receive_all(now);
    look_at_keys(now);
    for (auto& [node, peer] : peers_) {
        if (is_dead(peer, now)) {
            peer.patience = std::min(2 * peer.patience, kSilentAtMost);
            reopen(peer, now);
        }
        const Nanos every = peer.has < list_id_ ? kHandEvery : kAskEvery;
        if (now - peer.handed >= every) hand_list(peer, now);
    }
}

void VoteLink::receive_all(Instant now) {
    while (auto incoming = link_->receive()) {
        auto envelope = decode_envelope(incoming->envelope);
        if (!envelope || envelope->type != MessageType::voters_have) continue;
        auto body = decode_body(*envelope, incoming->body.bytes());
        if (!body) continue;
        const VotersHave& have = std::get<VotersHave>(*body);
        for (auto& [node, peer] : peers_) {
            if (peer.link != incoming->from || have.node != node) continue;
            peer.has = {have.epoch, have.version};
            heard(node, now);
        }
    }
}

void VoteLink::hand_list(Peer& peer, Instant now) {
    const bool keyed = door_.list().version > 0;
    if (keyed && !door_.list().rights_of(door_.identity().key()).has(Right::lead)) return;
    peer.handed = now;
    const bool wants = peer.has < list_id_ && !(peer.witness && data_lacks_list(now));
    put(peer, Voters{door_.identity().key(), wants ? list_ : Bytes{}}, now);
}

bool VoteLink::data_lacks_list(Instant now) const {
    if (now - first_tended_ >= kDataFirst) return false;
    return std::any_of(peers_.begin(), peers_.end(), [this](const auto& entry) {
        return !entry.second.witness && entry.second.has < list_id_;
    });
}

void VoteLink::look_at_keys(Instant now) {
    if (now - keys_looked_ < kLookAtKeysEvery) return;
    keys_looked_ = now;
    auto stat = stat_path(door_.layout().member_list());
    const int64_t changed = stat ? stat->changed_ns : 0;
    if (changed == keys_changed_ns_) return;
    keys_changed_ns_ = changed;
    auto list = read_member_list(door_.layout().member_list());
    if (!list || list->version == door_.list().version) return;
    if (Status taken = door_.take_list(*link_, std::move(list).value(), false); !taken) {
        note(NoteLevel::error, "member list", {{"reason", taken.error().message}});
    }
}

VoterAnswers ask_who(const Layout& layout, const Settings& settings,
                     const std::vector<Member>& members, Nanos patience,
                     const std::atomic<bool>* give_up, const Event* wake) {
    VoterAnswers answers(members.size());
    auto link = Link::create();
    Door door(layout, settings);
    if (!link || !door.open(**link)) return answers;
    std::map<LinkId, size_t> asked;
    for (size_t i = 0; i < members.size(); ++i) {
        auto to = door.connect(**link, members[i].endpoint, members[i].key);
        if (to && send_on(**link, *to, Voters{door.identity().key(), {}})) asked[*to] = i;
    }
    std::vector<int> wakes;
    if (wake != nullptr) wakes.push_back(wake->fd());
    const Instant deadline = boot_now() + patience;
    for (Instant now = boot_now(); now < deadline && !asked.empty(); now = boot_now()) {
        (*link)->wait(wakes, deadline - now);
        if (give_up != nullptr && give_up->load()) break;
        while (auto incoming = (*link)->receive()) {
            auto at = asked.find(incoming->from);
            auto envelope = decode_envelope(incoming->envelope);
            if (at == asked.end() || !envelope || envelope->type != MessageType::voters_have) {
                continue;
            }
            if (auto body = decode_body(*envelope, incoming->body.bytes())) {
                answers[at->second] = std::get<VotersHave>(*body);
            }
            asked.erase(at);
        }
    }
    return answers;
}

VoterInquiry::VoterInquiry(const Layout& layout, const Settings& settings,
                           std::vector<Member> members, Nanos patience)
    : members_(std::move(members)),
      answers_(std::async(std::launch::async, [this, &layout, &settings, patience] {
          return ask_who(layout, settings, members_, patience, &given_up_, &wake_);
      })) {}

// answers_ waits for the thread.
VoterInquiry::~VoterInquiry() {
    given_up_.store(true);
    wake_.signal();
}

std::optional<VoterAnswers> VoterInquiry::take() {
    if (answers_.wait_for(0s) != std::future_status::ready) return std::nullopt;
    return answers_.get();
}

}  // namespace tanist
