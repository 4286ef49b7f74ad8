// One entry of the replication log, the same bytes on disk and on the wire.
// Format page: docs/log-format.md (a unit test compares its offset table with this code). Pure.
//
// A record is a header of kRecordHeaderBytes and a payload: `page_count` page numbers (u32), zero
// padding to a multiple of 8, then `page_count` images of `page_bytes`, in the order of the
// numbers, each page at most once, no page beyond `db_pages`. Replaying records in LSN order, each
// page overwritten whole, gives the database; replaying one twice changes nothing.
//
// chain = hash128(header bytes before the chain field); those bytes hold the previous chain and
// the payload's hash, so equal (lsn, chain) means equal history.
#pragma once

#include <span>

#include "replicator/base/bytes.h"
#include "replicator/base/ids.h"
#include "replicator/base/result.h"

namespace tanist {

constexpr uint32_t kRecordMagic = 0x4352'4E54;  // "TNRC"
constexpr uint16_t kRecordVersion = 1;
constexpr size_t kRecordHeaderBytes = 192;

// These numbers are on disk and on the wire for ever. Zero is never valid: new segments are zeros.
enum class RecordKind : uint8_t {
    commit = 1,  // one SQLite transaction
    abort = 2,   // the prepared commit `subject` will never be visible (issue B)
    epoch = 3,   // a primacy begins
    rebase = 4,  // the database moved in a way the log did not see: replicas delta-sync past it
};
enum class Encoding : uint8_t { raw = 1, zstd = 2, delta_zstd = 3 };  // 2 and 3: reserved

// Where the engine that wrote the record stood in the WAL just after this commit: a new engine
// resumes from here. Information to everybody else.
struct WalPoint {
    uint32_t salt1 = 0;
    uint32_t salt2 = 0;
    uint32_t frame = 0;   // mxFrame
    uint32_t change = 0;  // iChange
    uint32_t checksum_a = 0;
    uint32_t checksum_b = 0;
    bool operator==(const WalPoint&) const = default;
};

struct RecordHeader {
    RecordKind kind = RecordKind::commit;
    Encoding encoding = Encoding::raw;
    uint32_t database = 0;  // its number in the group
    GroupId group;
    Epoch epoch;
    Lsn lsn;
    Lsn subject;  // abort: the LSN taken back; else zero
    Chain previous;
    int64_t commit_time_ns = 0;  // wall clock, information only
    uint32_t page_bytes = 0;
    uint32_t db_pages = 0;  // database size after the commit
    uint32_t page_count = 0;
    WalPoint wal;
    uint64_t payload_bytes = 0;  // as stored
    uint64_t raw_bytes = 0;      // decoded; equal to payload_bytes for raw
    Hash128 payload_hash;
    Chain chain;

    Position position() const { return {epoch, lsn}; }
    // Header and payload, padded to a multiple of 8.
    uint64_t record_bytes() const {
        return kRecordHeaderBytes + ((payload_bytes + 7) & ~uint64_t{7});
    }
    bool operator==(const RecordHeader&) const = default;
};

uint64_t raw_payload_bytes(uint32_t page_count, uint32_t page_bytes);
// Offset of image `index` within a raw payload.
uint64_t page_image_offset(uint32_t page_count, uint32_t page_bytes, uint32_t index);

// Fills `chain` and writes the bytes. Requires: payload_hash set; why_invalid() is empty.
void seal_record(RecordHeader& header, std::span<uint8_t, kRecordHeaderBytes> out);
// Checks magic, version, checksum and every field. corrupt; version (message has both numbers).
Result<RecordHeader> decode_record_header(ByteView bytes);
// Every reason for which a header is not acceptable, one sentence, or "".
std::string why_invalid(const RecordHeader& header);

// The page numbers of a raw payload, checked: in range, none twice. `payload` may be only the
// number list (its first page_count * 4 bytes).
Result<std::vector<Pgno>> decode_page_list(const RecordHeader& header, ByteView payload);

}  // namespace tanist
