// Where a segment ends, and whether it ends because nothing more was written, because a write was
// torn, or because it is damaged. The rules: docs/log-format.md, "The end". Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "replicator/base/bytes.h"
#include "replicator/base/result.h"
#include "replicator/log/record_form.h"
#include "replicator/log/segment.h"

namespace tanist {

// The bytes of one segment.
class SegmentSource {
  public:
    virtual ~SegmentSource() = default;
    virtual uint64_t bytes() const = 0;
    // Fewer than asked only at the end.
    virtual Result<size_t> read_at(uint64_t offset, MutableBytes out) const = 0;
};

struct ScanAsk {
    SegmentHeader header;
    RecordForm form;
    // The next segment's first LSN; nullopt: this is the last segment.
    std::optional<Lsn> until;
    Lsn durable;              // records up to here were synced
    bool power_lost = false;  // unsynced records may be missing in any order
    bool check_payloads = false;
    // Every good record; false stops the scan.
    std::function<bool(uint64_t offset, const RecordHeader&)> visit;
};

struct SegmentScan {
    LogPoint end;
    uint64_t end_offset = kRecordsAt;
    uint64_t records = 0;
    std::optional<RecordHeader> last;
    uint64_t torn_bytes = 0;
    std::string torn_reason;  // empty: the end is clean
    bool stopped = false;     // by the visitor
};

// corrupt: damage before the end, with offset and bytes; version: a record of a later version.
Result<SegmentScan> scan_segment(const SegmentSource& source, const ScanAsk& ask);

// Whether `header` continues a history that stands at `at`. One sentence, or "".
std::string why_not_next(const RecordHeader& header, GroupId group, const LogPoint& at);

}  // namespace tanist
