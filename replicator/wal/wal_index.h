// The wal-index: SQLite's shared memory beside the WAL (the -shm file), by offset and by value.
// Source: https://www.sqlite.org/walformat.html sections 2.1-2.3 and wal.c's opening comment.
//
// Layout of region 0 (native byte order): header copy at 0 and at 48, checkpoint info at 96
// (nBackfill, aReadMark[5], lock bytes at 120, nBackfillAttempted at 128), 136 bytes in all; then
// page numbers and a hash table, 32 KiB per region, 4096 frames each (4062 in region 0).
//
// This file only interprets memory; locks and mapping are SqliteHandle's. Every word is read and
// written atomically because other processes do the same at the same time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "replicator/base/ids.h"
#include "replicator/wal/wal_format.h"

namespace tanist {

constexpr size_t kWalIndexRegionBytes = 32768;
constexpr uint32_t kWalIndexVersion = 3007000;
constexpr uint32_t kFramesInFirstRegion = 4062;
constexpr uint32_t kFramesPerRegion = 4096;
constexpr int kReadMarks = 5;
constexpr uint32_t kReadMarkNotUsed = 0xffffffffu;

// Lock slots, for SqliteHandle::lock.
constexpr int kLockWrite = 0;
constexpr int kLockCheckpoint = 1;
constexpr int kLockRecover = 2;
constexpr int lock_read(int mark) { return 3 + mark; }

// One copy of the 48-byte header.
struct WalIndexHeader {
    uint32_t version = 0;
    uint32_t change = 0;  // iChange: +1 per commit, 0 after recovery
    bool initialised = false;
    bool big_endian_checksums = false;
    uint32_t page_bytes = 0;  // 65536 is stored as 1
    uint32_t max_frame = 0;
    uint32_t db_pages = 0;
    WalChecksum frame_checksum;
    WalSalt salt;
    bool operator==(const WalIndexHeader&) const = default;
};

// The header if both copies agree and the checksum is right; nothing while a writer is between
// the two, or before recovery: the caller tries again, or lets SQLite recover.
std::optional<WalIndexHeader> read_wal_index_header(const volatile void* region0);
// Stores copy 1, a barrier, copy 0. Requires: the WRITE lock.
void write_wal_index_header(volatile void* region0, const WalIndexHeader& header);

// iChange values at or above this are marked. Counting from a recovery takes 2^31 commits to get
// there; the random part makes two marks of different wal-index lives differ.
constexpr uint32_t kChangeMark = 0x80000000u;
constexpr bool is_marked(uint32_t change) { return change >= kChangeMark; }
// Leaves room for 2^30 commits above it.
constexpr uint32_t mark_change(uint32_t random) { return kChangeMark | (random & 0x3fffffffu); }

struct WalCheckpointInfo {
    uint32_t backfilled = 0;  // nBackfill
    uint32_t backfill_attempted = 0;
    uint32_t read_mark[kReadMarks] = {};
};
WalCheckpointInfo read_checkpoint_info(const volatile void* region0);
void store_backfilled(volatile void* region0, uint32_t frames);
void store_read_mark(volatile void* region0, int mark, uint32_t value);
// The salts of the WAL that follows one in a restart.
constexpr WalSalt restarted_salt(WalSalt now, uint32_t salt2) { return {now.salt1 + 1, salt2}; }
// What walRestartHdr does: an empty WAL with a new salt. Requires: WRITE, CHECKPOINT, READ1..4.
// `salt2` is a fresh random number.
WalIndexHeader restart_wal_index(volatile void* region0, const WalIndexHeader& now, uint32_t salt2);

// Page number of a frame; `region` is the mapping that holds it (see region_of_frame).
inline uint32_t region_of_frame(uint32_t frame) {
    return frame <= kFramesInFirstRegion
               ? 0
               : 1 + (frame - kFramesInFirstRegion - 1) / kFramesPerRegion;
}
Pgno frame_page(const volatile void* region, uint32_t frame);
// walIndexAppend: enters frame -> page, wiping first what a dead writer left behind it.
// Requires: the WRITE lock; frames are entered in order from max_frame + 1.
// False: the hash table is fuller than its frames allow, that is, the memory is damaged.
bool append_frame_page(volatile void* region, uint32_t frame, Pgno pgno);

}  // namespace tanist
