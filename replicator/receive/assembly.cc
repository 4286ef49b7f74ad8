#include "replicator/receive/assembly.h"

#include <algorithm>

namespace tanist {

Status RecordAssembly::begin(const Envelope& envelope, const Data& data, const LogPoint& previous,
                             GroupId group) {
    if (data.bytes.size() < kRecordHeaderBytes) {
        return Error{Errc::corrupt, "the first chunk of a record lacks its header"};
    }
    auto header = decode_record_header(data.bytes.first(kRecordHeaderBytes));
    if (!header.ok()) return std::move(header).error();
    if (header->lsn != envelope.lsn || header->group != group) {
        return Error{Errc::corrupt, "a record is not the one its envelope announces"};
    }
    if (header->previous != previous.chain || header->epoch < previous.position.epoch ||
        header->epoch > envelope.epoch) {
        return Error{Errc::refused, "record " + to_string(header->position()) +
                                        " does not continue the history here, which ends at " +
                                        to_string(previous.position)};
    }
    header_ = *header;
    offset_ = 0;
    open_ = true;
    return ok_status();
}

Result<RecordAssembly::Step> RecordAssembly::take(const Envelope& envelope, const Data& data,
                                                  const LogPoint& previous, GroupId group) {
    Step step;
    step.begins = !open_;
    if (open_ ? envelope.lsn != header_.lsn || envelope.offset != offset_
              : envelope.lsn != previous.position.lsn.next() || envelope.offset != 0) {
        return Error{Errc::invalid, "a chunk of record " + std::to_string(envelope.lsn.value) +
                                        " came out of order"};
    }
    if (step.begins) TANIST_TRY(begin(envelope, data, previous, group));
    uint64_t total = header_.record_bytes();
    uint64_t end = offset_ + data.bytes.size();  // both far below 2^63
    if (end > total || ((envelope.flags & kDataLast) != 0) != (end == total)) {
        open_ = false;
        return Error{Errc::corrupt, "the chunks of record " + std::to_string(envelope.lsn.value) +
                                        " do not add up to its length"};
    }
    uint64_t payload_end = kRecordHeaderBytes + header_.payload_bytes;
    uint64_t from = std::min(std::max<uint64_t>(offset_, kRecordHeaderBytes), end);
    uint64_t to = std::max(from, std::min(end, payload_end));
    step.part = data.bytes.subspan(from - offset_, to - from);
    for (uint64_t at = std::max(offset_, payload_end); at < end; ++at) {
        if (data.bytes[at - offset_] != 0) {
            open_ = false;
            return Error{Errc::corrupt, "the padding of a record is not zero"};
        }
    }
    offset_ = end;
    step.finishes = end == total;
    if (step.finishes) open_ = false;
    return step;
}

}  // namespace tanist
