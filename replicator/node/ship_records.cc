// The one hot action of the ship thread: records from the log onto the wire, in chunks.
#include <algorithm>

#include "replicator/node/ship_loop.h"

namespace tanist {

void ShipLoop::act(Peer& peer, follower_action::SendRecords& action) {
    Lsn lsn = action.lsn;
    uint64_t offset = action.offset;
    uint64_t budget = action.budget_bytes;
    uint64_t sent = 0;
    Lsn end = log_.end().position.lsn;
    while (lsn <= end && budget > kDataPrefixBytes + kRecordHeaderBytes) {
        auto header = peer.reader->header_of(lsn);
        if (!header) break;  // retention took it: the next Tick's LogView tells the follower
        uint64_t total = header->record_bytes();
        uint64_t room = std::min<uint64_t>(limits::kBodyBytesMax, budget) - kDataPrefixBytes;
        uint64_t count = std::min(total - offset, room);
        Bytes body(kDataPrefixBytes + count);
        if (!peer.reader->read(lsn, offset, MutableBytes(body).subspan(kDataPrefixBytes))) break;
        Envelope envelope;
        envelope.session = peer.session;
        envelope.epoch = options_.self.epoch;
        envelope.lsn = lsn;
        envelope.offset = offset;
        if (offset + count == total) envelope.flags = kDataLast;
        Bytes head;
        seal_data(envelope, end, body, head);
        if (!link_->send(peer.main, head, std::move(body))) {
            fail_link(peer);
            break;
        }
        sent += count + kDataPrefixBytes;
        budget -= count + kDataPrefixBytes;
        offset += count;
        if (offset == total) {
            lsn = lsn.next();
            offset = 0;
        }
    }
    pending_.emplace_back(&peer, follower_event::Sent{sent, lsn, offset});
}

}  // namespace tanist
