// The head of a segment file: which log it belongs to, where its records begin, and up to which
// record they are known to be on the disk. Format: docs/log-format.md, "Segment". Pure.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "replicator/base/bytes.h"
#include "replicator/base/result.h"
#include "replicator/log/log.h"

namespace tanist {

constexpr uint32_t kSegmentMagic = 0x4753'4E54;  // "TNSG"
constexpr uint16_t kSegmentVersion = 1;
constexpr size_t kSegmentHeaderBytes = 128;
constexpr size_t kMarkAt = kSegmentHeaderBytes;  // the durable marks follow the header
constexpr size_t kMarkBytes = 32;
constexpr size_t kMarks = 2;
constexpr size_t kRecordsAt = 192;
static_assert(kMarkAt + kMarks * kMarkBytes == kRecordsAt);

using BootId = Id128<struct BootTag>;

struct SegmentHeader {
    GroupId group;
    LogPoint previous;       // what precedes the first record
    uint64_t sealed_by = 0;  // LogCipher::id(); zero: the records are plain
    Lsn first() const { return previous.position.lsn.next(); }
    bool operator==(const SegmentHeader&) const = default;
};

void seal_segment(const SegmentHeader& header, std::span<uint8_t, kSegmentHeaderBytes> out);
// corrupt, or version with both numbers.
Result<SegmentHeader> decode_segment_header(ByteView bytes);

// Written in place after each fdatasync. Records above `durable` can be missing, in any order,
// after a power cut; with the same boot id there was none, so whatever is bad is damage. There are
// two places, written in turn, because the newest mark is not synced itself: a power cut may tear
// it, and then the one before it, which is, must still tell that the power was cut.
struct DurableMark {
    BootId boot;
    Lsn durable;
    bool operator==(const DurableMark&) const = default;
};
void seal_mark(const DurableMark& mark, std::span<uint8_t, kMarkBytes> out);
std::optional<DurableMark> decode_mark(ByteView bytes);  // nullopt: none was written, or it is torn

struct FoundMark {
    DurableMark mark;
    size_t place;  // of kMarks
};
// The mark that was written last. `head`: a segment from its first byte. `boot`: of the present.
std::optional<FoundMark> newest_mark(ByteView head, const BootId& boot);

std::string segment_name(Lsn first);
std::optional<Lsn> parse_segment_name(std::string_view name);

}  // namespace tanist
