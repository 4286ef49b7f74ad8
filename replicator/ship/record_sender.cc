#include "replicator/ship/record_sender.h"

#include <algorithm>

namespace tanist {

Result<follower_event::Sent> send_records(LogReader& log,
                                          const follower_action::SendRecords& action,
                                          const std::function<bool(ByteView, Bytes)>& send) {
    follower_event::Sent sent{0, action.lsn, action.offset};
    while (sent.next <= action.last) {
        auto header = log.header_of(sent.next);
        if (!header.ok()) {
            if (header.error().code == Errc::not_found) break;
            return std::move(header).error();
        }
        uint64_t left = header->record_bytes() - sent.next_offset;
        uint64_t count = std::min<uint64_t>(left, limits::kBodyBytesMax);
        // No smaller chunks: credit comes back long before it is used up, and the first chunk must
        // hold the whole header.
        if (sent.body_bytes + kDataPrefixBytes + count > action.budget_bytes) break;
        Bytes body(kDataPrefixBytes + count);
        TANIST_TRY(
            log.read(sent.next, sent.next_offset, MutableBytes(body).subspan(kDataPrefixBytes)));
        Envelope envelope = action.envelope;
        envelope.lsn = sent.next;
        envelope.offset = sent.next_offset;
        Bytes sealed = encode_data(envelope, action.committed, count == left, body);
        uint64_t body_bytes = body.size();
        if (!send(sealed, std::move(body))) {
            return Error{Errc::unreachable, "the connection takes nothing"};
        }
        sent.body_bytes += body_bytes;
        sent.next_offset += count;
        if (count == left) {
            sent.next = sent.next.next();
            sent.next_offset = 0;
        }
    }
    return sent;
}

}  // namespace tanist
