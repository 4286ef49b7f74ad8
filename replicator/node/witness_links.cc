#include "replicator/node/witness_links.h"

#include <algorithm>

#include "replicator/base/random.h"

namespace tanist {
namespace {

constexpr Nanos kSayEvery = std::chrono::seconds(1);

}  // namespace

void WitnessLinks::tend(Link& link, const std::vector<Member>& witnesses, Instant now) {
    std::erase_if(peers_, [&](const auto& entry) {
        const bool stays = std::any_of(witnesses.begin(), witnesses.end(), [&](const Member& w) {
            return w.endpoint == entry.first &&
                   (entry.second.link == 0 || announcer_.may_keep(entry.second.server, w.key));
        });
        if (!stays && entry.second.link != 0) link.close(entry.second.link);
        return !stays;
    });
    for (const Member& witness : witnesses) {
        if (witness.key.is_zero() || door_.list().version == 0) continue;
        Peer& peer = peers_[witness.endpoint];
        if (peer.said.ns != 0 && now - peer.said < kSayEvery) continue;
        peer.said = now;
        say(link, witness, peer);
    }
}

void WitnessLinks::say(Link& link, const Member& witness, Peer& peer) {
    if (peer.link != 0 && !peer.answered) {
        link.close(peer.link);
        peer.link = 0;
    }
    peer.answered = false;
    if (peer.link == 0) {
        peer.server = announcer_.key_for(witness.key, peer.attempts++);
        peer.session = random_u64() | 1;
        auto opened = door_.connect(link, witness.endpoint, peer.server);
        if (!opened) return;
        peer.link = *opened;
    }
    announcer_.say_list(link, {peer.link, peer.session, peer.server});
}

bool WitnessLinks::takes(Link& link, const Incoming& incoming, const Envelope& envelope) {
    const auto found = std::find_if(peers_.begin(), peers_.end(), [&](const auto& entry) {
        return entry.second.link == incoming.from;
    });
    if (found == peers_.end()) return false;
    Peer& peer = found->second;
    auto body = decode_body(envelope, incoming.body.bytes());
    if (!body) return true;
    peer.answered = true;
    const MemberLink member{peer.link, peer.session, peer.server};
    announcer_.takes(link, member, *body);
    announcer_.answered(link, member);
    return true;
}

}  // namespace tanist
