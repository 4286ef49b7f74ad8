// Frames of the WAL in large reads. A range is loaded and then looked at in memory; frames that
// lie together cost one read however many they are. The views stay good until the next load.
#pragma once

#include "replicator/wal/sqlite_handle.h"
#include "replicator/wal/wal_format.h"

namespace tanist {

class FrameReader {
  public:
    explicit FrameReader(SqliteHandle& handle);
    // How many frames one load can hold; at least one.
    uint32_t frames_max(uint32_t page_bytes) const;
    // Requires: 1 <= count <= frames_max(). busy: the WAL is shorter than that, so it was reset
    // under us; look at the wal-index again.
    Status load(uint32_t first, uint32_t count, uint32_t page_bytes);
    void forget() { count_ = 0; }
    bool has(uint32_t frame) const { return frame >= first_ && frame - first_ < count_; }
    // Requires: has(frame).
    WalFrameHeader header(uint32_t frame) const;
    ByteView image(uint32_t frame) const;
    // The header of one frame, not through the buffer.
    Result<WalFrameHeader> read_header(uint32_t frame, uint32_t page_bytes);

  private:
    size_t offset_of(uint32_t frame) const {
        return size_t{frame - first_} * (kWalFrameHeaderBytes + page_bytes_);
    }
    SqliteHandle& handle_;
    Bytes buffer_;
    uint32_t first_ = 0;
    uint32_t count_ = 0;
    uint32_t page_bytes_ = 0;
};

}  // namespace tanist
