// The bytes of SQLite's -wal file: header, frames, running checksum.
// Source: https://www.sqlite.org/fileformat2.html#walformat (pure; everything big-endian there).
//
// A frame's page number, database size and content are final once its transaction is visible. Its
// salt and checksum are not proof of anything to us: SQLite may rewrite them, and some versions
// leave zeros (shared/sqlite-facts 0.9b).
#pragma once

#include "replicator/base/bytes.h"
#include "replicator/base/result.h"

namespace tanist {

constexpr size_t kWalHeaderBytes = 32;
constexpr size_t kWalFrameHeaderBytes = 24;

struct WalSalt {
    uint32_t salt1 = 0;  // native values of the big-endian fields
    uint32_t salt2 = 0;
    auto operator<=>(const WalSalt&) const = default;
};

struct WalChecksum {
    uint32_t a = 0;
    uint32_t b = 0;
    auto operator<=>(const WalChecksum&) const = default;
};

struct WalHeader {
    bool big_endian_checksums = false;
    uint32_t page_bytes = 0;
    uint32_t checkpoint_sequence = 0;
    WalSalt salt;
    WalChecksum checksum;
};

struct WalFrameHeader {
    Pgno pgno;
    uint32_t db_pages = 0;  // not zero: the last frame of a transaction
    WalSalt salt;
    WalChecksum checksum;
};

// SQLite's checksum over `bytes` (a multiple of 8), continuing from `seed`.
WalChecksum wal_checksum(ByteView bytes, WalChecksum seed, bool big_endian);

Result<WalHeader> decode_wal_header(ByteView bytes);  // corrupt: magic, version, size or checksum
// Computes the checksum itself and returns it: the seed of the first frame's.
WalChecksum encode_wal_header(const WalHeader& header, MutableBytes out);
WalFrameHeader decode_wal_frame_header(ByteView bytes);
// Writes header + checksum of a frame and advances `running`.
void encode_wal_frame_header(Pgno pgno, uint32_t db_pages, WalSalt salt, bool big_endian,
                             ByteView page, WalChecksum& running, MutableBytes out);

inline uint64_t wal_frame_offset(uint32_t frame, uint32_t page_bytes) {  // frames count from 1
    return kWalHeaderBytes + uint64_t{frame - 1} * (kWalFrameHeaderBytes + page_bytes);
}

}  // namespace tanist
