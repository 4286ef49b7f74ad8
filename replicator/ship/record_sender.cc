#include "replicator/ship/record_sender.h"

#include <algorithm>

namespace tanist {
namespace {

// Small records travel together: a message costs about as much as 16 KiB of bytes.
constexpr size_t kRunBytesMax = 64u << 10;

// Whole records, if the next ones are small. False: the next one is long, or the budget is short.
Result<bool> take_run(LogReader& log, const follower_action::SendRecords& action,
                      follower_event::Sent& sent, Bytes& body) {
    const uint64_t left = action.budget_bytes - sent.body_bytes;
    if (sent.next_offset != 0 || left < kDataPrefixBytes + kRunBytesMax) return false;
    body.reserve(kDataPrefixBytes + kRunBytesMax);
    body.resize(kDataPrefixBytes);
    auto run = log.read_run(sent.next, action.last, kRunBytesMax, body);
    if (!run.ok()) return std::move(run).error();
    if (run->bytes == 0) return false;
    sent.next = run->through.next();
    return true;
}

// A chunk of one record. False: the budget does not take a whole one.
Result<bool> take_chunk(LogReader& log, const follower_action::SendRecords& action,
                        follower_event::Sent& sent, Bytes& body) {
    auto header = log.header_of(sent.next);
    if (!header.ok()) return std::move(header).error();
    const uint64_t left = header->record_bytes() - sent.next_offset;
    const uint64_t count = std::min<uint64_t>(left, limits::kBodyBytesMax);
    // No smaller chunks: credit comes back long before it is used up, and the first chunk must
    // hold the whole header.
    if (sent.body_bytes + kDataPrefixBytes + count > action.budget_bytes) return false;
    body.resize(kDataPrefixBytes + count);
    TANIST_TRY(log.read(sent.next, sent.next_offset, MutableBytes(body).subspan(kDataPrefixBytes)));
    sent.next_offset += count;
    if (count == left) {
        sent.next = sent.next.next();
        sent.next_offset = 0;
    }
    return true;
}

}  // namespace

Result<follower_event::Sent> send_records(LogReader& log,
                                          const follower_action::SendRecords& action,
                                          const std::function<bool(ByteView, Bytes)>& send) {
    follower_event::Sent sent{0, action.lsn, action.offset};
    while (sent.next <= action.last) {
        Envelope envelope = action.envelope;
        envelope.lsn = sent.next;
        envelope.offset = sent.next_offset;
        Bytes body;
        auto taken = take_run(log, action, sent, body);
        if (taken.ok() && !*taken) taken = take_chunk(log, action, sent, body);
        if (!taken.ok()) {
            if (taken.error().code == Errc::not_found) break;
            return std::move(taken).error();
        }
        if (!*taken) break;
        Bytes sealed = encode_data(envelope, action.committed, sent.next_offset == 0, body);
        const uint64_t body_bytes = body.size();
        if (!send(sealed, std::move(body))) {
            return Error{Errc::unreachable, "the connection takes nothing"};
        }
        sent.body_bytes += body_bytes;
    }
    return sent;
}

}  // namespace tanist
