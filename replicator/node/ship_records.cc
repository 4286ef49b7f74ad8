// The one hot action of the ship thread: records from the log onto the wire, in chunks.
#include "replicator/node/ship_loop.h"
#include "replicator/ship/record_sender.h"

namespace tanist {

void ShipLoop::act(Peer& peer, follower_action::SendRecords& action) {
    auto sent = send_records(*peer.reader, action, [&](ByteView envelope, Bytes body) {
        return link_->send(peer.main, envelope, std::move(body));
    });
    if (sent) {
        pending_.emplace_back(&peer, *sent);
    } else {
        pending_.emplace_back(&peer, follower_event::LinkFailed{sent.error().message});
    }
}

}  // namespace tanist
