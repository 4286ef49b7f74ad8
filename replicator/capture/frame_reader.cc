#include "replicator/capture/frame_reader.h"

#include <algorithm>

#include "replicator/base/limits.h"

namespace tanist {

namespace {
constexpr size_t kBufferBytes = 1u << 20;
static_assert(kBufferBytes >= limits::kPageBytesMax + kWalFrameHeaderBytes);

Error too_short() {
    return {Errc::busy, "the WAL is shorter than the wal-index said a moment ago"};
}
}  // namespace

FrameReader::FrameReader(SqliteHandle& handle) : handle_(handle), buffer_(kBufferBytes) {}

uint32_t FrameReader::frames_max(uint32_t page_bytes) const {
    return static_cast<uint32_t>(kBufferBytes / (kWalFrameHeaderBytes + page_bytes));
}

Status FrameReader::load(uint32_t first, uint32_t count, uint32_t page_bytes) {
    first_ = first;
    count_ = 0;
    page_bytes_ = page_bytes;
    const size_t bytes = size_t{count} * (kWalFrameHeaderBytes + page_bytes);
    Result<size_t> found =
        handle_.read_wal(wal_frame_offset(first, page_bytes), MutableBytes(buffer_).first(bytes));
    if (!found) return std::move(found).error();
    if (*found < bytes) return too_short();
    count_ = count;
    return ok_status();
}

WalFrameHeader FrameReader::header(uint32_t frame) const {
    return decode_wal_frame_header(
        ByteView(buffer_).subspan(offset_of(frame), kWalFrameHeaderBytes));
}

ByteView FrameReader::image(uint32_t frame) const {
    return ByteView(buffer_).subspan(offset_of(frame) + kWalFrameHeaderBytes, page_bytes_);
}

Result<WalFrameHeader> FrameReader::read_header(uint32_t frame, uint32_t page_bytes) {
    std::array<uint8_t, kWalFrameHeaderBytes> bytes{};
    Result<size_t> found = handle_.read_wal(wal_frame_offset(frame, page_bytes), bytes);
    if (!found) return std::move(found).error();
    if (*found < bytes.size()) return too_short();
    return decode_wal_frame_header(bytes);
}

}  // namespace tanist
