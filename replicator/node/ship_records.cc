// The one hot action of the ship thread: records from the log onto the wire, in chunks.
#include <algorithm>

#include "replicator/node/ship_loop.h"

namespace tanist {

void ShipLoop::act(Peer& peer, follower_action::SendRecords& action) {
    Lsn lsn = action.lsn;
    uint64_t offset = action.offset;
    uint64_t budget = action.budget_bytes;
    Lsn end = log_.end().position.lsn;
    while (lsn <= end && budget > sizeof(uint64_t)) {
        auto header = peer.reader->header_of(lsn);
        if (!header) return;  // retention took it: the next Tick's LogView tells the follower
        uint64_t total = header->record_bytes();
        uint64_t room = std::min<uint64_t>(limits::kBodyBytesMax, budget) - sizeof(uint64_t);
        uint64_t count = std::min(total - offset, room);
        Message message;
        message.envelope.type = MessageType::data;
        message.envelope.session = peer.session;
        message.envelope.epoch = options_.self.epoch;
        message.envelope.lsn = lsn;
        message.envelope.offset = offset;
        if (offset + count == total) message.envelope.flags |= kDataLast;
        Bytes body(sizeof(uint64_t) + count);
        if (!peer.reader->read(lsn, offset, MutableBytes(body).subspan(sizeof(uint64_t)))) return;
        Bytes envelope;
        seal_data(message.envelope, end, body, envelope);
        if (!link_->send(peer.main, envelope, std::move(body))) {
            pending_.emplace_back(&peer,
                                  follower_event::LinkFailed{"the connection takes nothing"});
            return;
        }
        offset += count;
        budget -= count + sizeof(uint64_t);
        if (offset == total) {
            lsn = lsn.next();
            offset = 0;
        }
        pending_.emplace_back(&peer, follower_event::Sent{count + sizeof(uint64_t)});
    }
}

}  // namespace tanist
