#include "replicator/receive/assembly.h"

#include <algorithm>

namespace tanist {

Status RecordAssembly::begin(const From& from, ByteView bytes, const LogPoint& previous,
                             GroupId group) {
    if (bytes.size() < kRecordHeaderBytes) {
        return Error{Errc::corrupt, "the first chunk of a record lacks its header"};
    }
    auto header = decode_record_header(bytes.first(kRecordHeaderBytes));
    if (!header.ok()) return std::move(header).error();
    if (header->lsn != from.lsn || header->group != group) {
        return Error{Errc::corrupt, "a record is not the one its envelope announces"};
    }
    if (header->previous != previous.chain || header->epoch < previous.position.epoch ||
        header->epoch > from.epoch) {
        return Error{Errc::refused, "record " + to_string(header->position()) +
                                        " does not continue the history here, which ends at " +
                                        to_string(previous.position)};
    }
    header_ = *header;
    offset_ = 0;
    open_ = true;
    return ok_status();
}

Result<RecordAssembly::Step> RecordAssembly::take(const From& from, ByteView bytes,
                                                  const LogPoint& previous, GroupId group) {
    Step step;
    step.begins = !open_;
    if (open_ ? from.lsn != header_.lsn || from.offset != offset_
              : from.lsn != previous.position.lsn.next() || from.offset != 0) {
        return Error{Errc::invalid,
                     "a chunk of record " + std::to_string(from.lsn.value) + " came out of order"};
    }
    if (step.begins) TANIST_TRY(begin(from, bytes, previous, group));
    uint64_t total = header_.record_bytes();
    step.used = std::min<uint64_t>(bytes.size(), total - offset_);
    uint64_t end = offset_ + step.used;
    uint64_t payload_end = kRecordHeaderBytes + header_.payload_bytes;
    uint64_t begin_at = std::min(std::max<uint64_t>(offset_, kRecordHeaderBytes), end);
    uint64_t end_at = std::max(begin_at, std::min(end, payload_end));
    step.part = bytes.subspan(begin_at - offset_, end_at - begin_at);
    for (uint64_t at = std::max(offset_, payload_end); at < end; ++at) {
        if (bytes[at - offset_] != 0) {
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
