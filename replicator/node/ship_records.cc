// The one hot action of the ship thread: records from the log onto the wire, in chunks.
#include "replicator/node/ship_loop.h"
#include "replicator/ship/record_sender.h"

namespace tanist {

namespace {
// A program that waits for receipts does so again within this time, or its commits are rare.
constexpr Nanos kReceiptsWantedFor = std::chrono::seconds(1);
}  // namespace

void ShipLoop::act(Peer& peer, follower_action::SendRecords& action) {
    const Instant wanted{control_->receipt_wanted_ns.load(std::memory_order_relaxed)};
    if (wanted.ns != 0 && boot_now() - wanted < kReceiptsWantedFor) {
        action.envelope.flags |= kDataReceiptWanted;
    }
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
