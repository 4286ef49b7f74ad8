#include "replicator/capture/clean_stop.h"

#include "replicator/base/hash.h"
#include "replicator/base/log_point.h"

namespace tanist {

namespace {
constexpr uint32_t kMagic = 0x5343'4E54;  // "TNCS"
constexpr uint32_t kVersion = 1;
}  // namespace

Bytes encode_clean_stop(const CleanStop& stop) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMagic);
    out.u32(kVersion);
    encode(stop.log_end, out);
    out.u32(stop.wal.salt1);
    out.u32(stop.wal.salt2);
    out.u32(stop.wal.frame);
    out.u32(stop.wal.change);
    out.u32(stop.wal.checksum_a);
    out.u32(stop.wal.checksum_b);
    out.u32(stop.page_bytes);
    out.u32(0);
    out.u64(stop.db_bytes);
    out.u64(stop.db_inode);
    out.i64(stop.db_modified_ns);
    out.i64(stop.db_changed_ns);
    out.u64(stop.db_header_hash);
    out.u64(hash64(bytes));
    return bytes;
}

std::optional<CleanStop> decode_clean_stop(ByteView bytes) {
    ByteReader in(bytes);
    if (in.u32() != kMagic || in.u32() != kVersion) return std::nullopt;
    CleanStop stop;
    stop.log_end = decode_log_point(in);
    stop.wal.salt1 = in.u32();
    stop.wal.salt2 = in.u32();
    stop.wal.frame = in.u32();
    stop.wal.change = in.u32();
    stop.wal.checksum_a = in.u32();
    stop.wal.checksum_b = in.u32();
    stop.page_bytes = in.u32();
    in.u32();
    stop.db_bytes = in.u64();
    stop.db_inode = in.u64();
    stop.db_modified_ns = in.i64();
    stop.db_changed_ns = in.i64();
    stop.db_header_hash = in.u64();
    const size_t hashed = in.at();
    const uint64_t hash = in.u64();
    if (!in.ok() || in.left() != 0 || hash != hash64(bytes.first(hashed))) return std::nullopt;
    return stop;
}

}  // namespace tanist
