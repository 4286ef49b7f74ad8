#include "replicator/log/segment.h"

#include <charconv>

#include "replicator/base/hash.h"
#include "replicator/base/log_point.h"

namespace tanist {
namespace {

constexpr uint64_t kFlagSealed = 1;
constexpr size_t kSegmentReservedBytes = 40;
constexpr size_t kNameDigits = 20;
constexpr std::string_view kNameEnd = ".log";

}  // namespace

void seal_segment(const SegmentHeader& header, std::span<uint8_t, kSegmentHeaderBytes> out) {
    Bytes bytes;
    bytes.reserve(kSegmentHeaderBytes);
    ByteWriter w(bytes);
    w.u32(kSegmentMagic);
    w.u16(kSegmentVersion);
    w.u16(kSegmentHeaderBytes);
    w.u64(header.sealed_by != 0 ? kFlagSealed : 0);
    w.from(header.group.bytes);
    w.u64(header.first().value);
    encode(header.previous, w);
    w.u64(header.sealed_by);
    for (size_t i = 0; i < kSegmentReservedBytes; ++i) w.u8(0);
    w.u64(hash64(bytes));
    std::memcpy(out.data(), bytes.data(), out.size());
}

Result<SegmentHeader> decode_segment_header(ByteView bytes) {
    if (bytes.size() < kSegmentHeaderBytes) {
        return Error{Errc::corrupt, "the segment is shorter than its header"};
    }
    bytes = bytes.first(kSegmentHeaderBytes);
    ByteReader in(bytes);
    if (in.u32() != kSegmentMagic) return Error{Errc::corrupt, "no segment starts here"};
    const uint16_t version = in.u16();
    if (version > kSegmentVersion) {
        return Error{Errc::version, "segment version " + std::to_string(version) +
                                        " is not known; this Tanist knows up to " +
                                        std::to_string(kSegmentVersion)};
    }
    if (version == 0 || in.u16() != kSegmentHeaderBytes) {
        return Error{Errc::corrupt, "the segment header's length or version is wrong"};
    }
    ByteReader check(bytes.subspan(kSegmentHeaderBytes - 8));
    if (check.u64() != hash64(bytes.first(kSegmentHeaderBytes - 8))) {
        return Error{Errc::corrupt, "the segment header does not fit its checksum"};
    }
    const uint64_t flags = in.u64();
    if ((flags & ~kFlagSealed) != 0) {
        return Error{Errc::version, "segment flags " + std::to_string(flags) +
                                        " are not known; this Tanist knows only 0 and 1"};
    }
    SegmentHeader header;
    in.into(header.group.bytes);
    const Lsn first(in.u64());
    header.previous = decode_log_point(in);
    header.sealed_by = in.u64();
    for (uint8_t byte : in.raw(kSegmentReservedBytes)) {
        if (byte != 0) return Error{Errc::corrupt, "reserved bytes of the segment are not zero"};
    }
    if ((flags == kFlagSealed) != (header.sealed_by != 0)) {
        return Error{Errc::corrupt, "the segment's flags and its key do not go together"};
    }
    if (header.group.is_zero()) return Error{Errc::corrupt, "the segment names no group"};
    if (first != header.first() || first.value == 0) {
        return Error{Errc::corrupt, "the segment's first LSN does not follow the previous one"};
    }
    return header;
}

void seal_mark(const DurableMark& mark, std::span<uint8_t, kMarkBytes> out) {
    Bytes bytes;
    bytes.reserve(kMarkBytes);
    ByteWriter w(bytes);
    w.from(mark.boot.bytes);
    w.u64(mark.durable.value);
    w.u64(hash64(bytes));
    std::memcpy(out.data(), bytes.data(), out.size());
}

std::optional<DurableMark> decode_mark(ByteView bytes) {
    if (bytes.size() < kMarkBytes) return std::nullopt;
    ByteReader in(bytes);
    DurableMark mark;
    in.into(mark.boot.bytes);
    mark.durable = Lsn(in.u64());
    if (in.u64() != hash64(bytes.first(kMarkBytes - 8))) return std::nullopt;
    return mark;
}

// Durable LSNs never shrink; of two equal ones that of this boot is the later.
std::optional<FoundMark> newest_mark(ByteView head, const BootId& boot) {
    std::optional<FoundMark> newest;
    for (size_t place = 0; place < kMarks; ++place) {
        const size_t at = kMarkAt + place * kMarkBytes;
        if (head.size() < at + kMarkBytes) break;
        const std::optional<DurableMark> mark = decode_mark(head.subspan(at));
        if (!mark) continue;
        const bool later = !newest || mark->durable > newest->mark.durable ||
                           (mark->durable == newest->mark.durable && mark->boot == boot);
        if (later) newest = FoundMark{*mark, place};
    }
    return newest;
}

std::string segment_name(Lsn first) {
    std::string digits = std::to_string(first.value);
    return std::string(kNameDigits - digits.size(), '0') + digits + std::string(kNameEnd);
}

std::optional<Lsn> parse_segment_name(std::string_view name) {
    if (name.size() != kNameDigits + kNameEnd.size() || !name.ends_with(kNameEnd)) {
        return std::nullopt;
    }
    Lsn first;
    auto [end, error] = std::from_chars(name.data(), name.data() + kNameDigits, first.value);
    if (error != std::errc{} || end != name.data() + kNameDigits || first.value == 0) {
        return std::nullopt;
    }
    return first;
}

}  // namespace tanist
