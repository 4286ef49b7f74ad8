// Arbitrary bytes as a record header, as a page list, and as a segment: every answer is allowed
// except a crash, a read out of bounds, or a record that is not what its bytes say.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "replicator/log/recovery.h"

namespace {

using namespace tanist;

class MemorySource : public SegmentSource {
  public:
    explicit MemorySource(ByteView bytes) : bytes_(bytes) {}
    uint64_t bytes() const override { return bytes_.size(); }
    Result<size_t> read_at(uint64_t offset, MutableBytes out) const override {
        if (offset >= bytes_.size()) return size_t{0};
        const size_t count = std::min<size_t>(out.size(), bytes_.size() - offset);
        std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), count, out.begin());
        return count;
    }

  private:
    ByteView bytes_;
};

void require(bool holds) {
    if (!holds) std::abort();
}

void try_record(ByteView bytes) {
    Result<RecordHeader> header = decode_record_header(bytes);
    if (!header.ok()) return;
    RecordHeader copy = *header;
    std::array<uint8_t, kRecordHeaderBytes> again;
    seal_record(copy, again);
    require(std::equal(again.begin(), again.end(), bytes.begin()));
    static_cast<void>(decode_page_list(*header, bytes.subspan(kRecordHeaderBytes)).ok());
}

void try_segment(ByteView bytes) {
    Result<SegmentHeader> header = decode_segment_header(bytes);
    ScanAsk ask;
    if (header.ok()) ask.header = *header;
    if (header.ok() && header->sealed_by != 0) {
        static const auto cipher = std::make_shared<const LogCipher>(LogKey{});
        ask.form = RecordForm(cipher, header->group);
    }
    if (bytes.size() >= kRecordsAt) {
        if (auto found = newest_mark(bytes, {})) ask.durable = found->mark.durable;
        // When the head is not one, records are still looked for, after any group.
        Result<RecordHeader> first = decode_record_header(bytes.subspan(kRecordsAt));
        if (!header.ok() && first.ok()) {
            ask.header = {first->group, {{Epoch(0), Lsn(first->lsn.value - 1)}, first->previous}};
        }
    }
    for (bool power_lost : {false, true}) {
        ask.power_lost = power_lost;
        Result<SegmentScan> scan = scan_segment(MemorySource(bytes), ask);
        if (!scan.ok()) continue;
        require(scan->end_offset <= bytes.size());
        require(scan->end_offset + scan->torn_bytes <= bytes.size());
        require(scan->end.position.lsn.value ==
                ask.header.previous.position.lsn.value + scan->records);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const ByteView bytes(data, size);
    try_record(bytes);
    try_segment(bytes);
    return 0;
}
