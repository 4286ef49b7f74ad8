#include "replicator/wal/wal_index.h"

#include <bit>

namespace tanist {
namespace {

constexpr size_t kHeaderBytes = 48;
constexpr size_t kHeaderChecksummedBytes = 40;
constexpr size_t kBackfilledAt = 96;
constexpr size_t kReadMarkAt = 100;
constexpr size_t kBackfillAttemptedAt = 128;
constexpr size_t kPagesAtInFirstRegion = 136;
constexpr size_t kHashAt = 16384;
constexpr uint32_t kHashSlots = 8192;
static_assert(kPagesAtInFirstRegion + 4 * kFramesInFirstRegion == kHashAt);
static_assert(4 * kFramesPerRegion == kHashAt);
static_assert(kHashAt + 2 * kHashSlots == kWalIndexRegionBytes);

using HeaderCopy = std::array<uint8_t, kHeaderBytes>;

const volatile uint32_t* word_at(const volatile void* memory, size_t offset) {
    return reinterpret_cast<const volatile uint32_t*>(static_cast<const volatile uint8_t*>(memory) +
                                                      offset);
}
volatile uint32_t* word_at(volatile void* memory, size_t offset) {
    return reinterpret_cast<volatile uint32_t*>(static_cast<volatile uint8_t*>(memory) + offset);
}

// Acquire and release on every word keep the order of the two header copies, on every processor.
uint32_t load_word(const volatile void* memory, size_t offset) {
    return __atomic_load_n(word_at(memory, offset), __ATOMIC_ACQUIRE);
}
void store_word(volatile void* memory, size_t offset, uint32_t value) {
    __atomic_store_n(word_at(memory, offset), value, __ATOMIC_RELEASE);
}

uint32_t native32(const uint8_t* at) {
    uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
void put_native32(uint8_t* at, uint32_t value) { std::memcpy(at, &value, sizeof value); }

HeaderCopy load_copy(const volatile void* region0, int index) {
    HeaderCopy copy;
    for (size_t at = 0; at < kHeaderBytes; at += 4) {
        put_native32(copy.data() + at, load_word(region0, index * kHeaderBytes + at));
    }
    return copy;
}

void store_copy(volatile void* region0, int index, const HeaderCopy& copy) {
    for (size_t at = 0; at < kHeaderBytes; at += 4) {
        store_word(region0, index * kHeaderBytes + at, native32(copy.data() + at));
    }
}

WalChecksum copy_checksum(const HeaderCopy& copy) {
    return wal_checksum(ByteView(copy).first(kHeaderChecksummedBytes), {},
                        std::endian::native == std::endian::big);
}

// Where the page numbers of a region begin, and how many frames precede it.
struct RegionFrames {
    size_t pages_at;
    uint32_t frames_before;
};
RegionFrames frames_of_region(uint32_t region) {
    if (region == 0) return {kPagesAtInFirstRegion, 0};
    return {0, kFramesInFirstRegion + (region - 1) * kFramesPerRegion};
}

volatile uint16_t* hash_slot(volatile void* region, uint32_t slot) {
    return reinterpret_cast<volatile uint16_t*>(static_cast<volatile uint8_t*>(region) + kHashAt) +
           slot;
}

// Forgets the frames of a region from its `kept`-th on.
void forget_frames_after(volatile void* region, size_t pages_at, uint32_t kept) {
    for (uint32_t slot = 0; slot < kHashSlots; ++slot) {
        if (__atomic_load_n(hash_slot(region, slot), __ATOMIC_RELAXED) > kept) {
            __atomic_store_n(hash_slot(region, slot), uint16_t{0}, __ATOMIC_RELAXED);
        }
    }
    for (size_t at = pages_at + 4 * size_t{kept}; at < kHashAt; at += 4) {
        store_word(region, at, 0);
    }
}

}  // namespace

std::optional<WalIndexHeader> read_wal_index_header(const volatile void* region0) {
    const HeaderCopy copy = load_copy(region0, 0);
    if (copy != load_copy(region0, 1)) return std::nullopt;
    const uint8_t* at = copy.data();
    if (at[12] == 0) return std::nullopt;
    if (copy_checksum(copy) != WalChecksum{native32(at + 40), native32(at + 44)}) {
        return std::nullopt;
    }
    WalIndexHeader header;
    header.version = native32(at);
    header.change = native32(at + 8);
    header.initialised = true;
    header.big_endian_checksums = at[13] != 0;
    uint16_t size;
    std::memcpy(&size, at + 14, sizeof size);
    header.page_bytes = (size & 0xfe00u) + (uint32_t{size & 1u} << 16);
    header.max_frame = native32(at + 16);
    header.db_pages = native32(at + 20);
    header.frame_checksum = {native32(at + 24), native32(at + 28)};
    // The salts are kept as the WAL header has them, big-endian.
    header.salt = {load_be32(at + 32), load_be32(at + 36)};
    return header;
}

void write_wal_index_header(volatile void* region0, const WalIndexHeader& header) {
    HeaderCopy copy{};
    uint8_t* at = copy.data();
    put_native32(at, header.version);
    put_native32(at + 8, header.change);
    at[12] = 1;
    at[13] = header.big_endian_checksums ? 1 : 0;
    const uint16_t size =
        header.page_bytes == 65536 ? uint16_t{1} : static_cast<uint16_t>(header.page_bytes);
    std::memcpy(at + 14, &size, sizeof size);
    put_native32(at + 16, header.max_frame);
    put_native32(at + 20, header.db_pages);
    put_native32(at + 24, header.frame_checksum.a);
    put_native32(at + 28, header.frame_checksum.b);
    store_be32(at + 32, header.salt.salt1);
    store_be32(at + 36, header.salt.salt2);
    const WalChecksum sum = copy_checksum(copy);
    put_native32(at + 40, sum.a);
    put_native32(at + 44, sum.b);
    store_copy(region0, 1, copy);
    store_copy(region0, 0, copy);
}

WalCheckpointInfo read_checkpoint_info(const volatile void* region0) {
    WalCheckpointInfo info;
    info.backfilled = load_word(region0, kBackfilledAt);
    info.backfill_attempted = load_word(region0, kBackfillAttemptedAt);
    for (int mark = 0; mark < kReadMarks; ++mark) {
        info.read_mark[mark] = load_word(region0, kReadMarkAt + 4 * size_t(mark));
    }
    return info;
}

void store_backfilled(volatile void* region0, uint32_t frames) {
    store_word(region0, kBackfilledAt, frames);
}

void store_read_mark(volatile void* region0, int mark, uint32_t value) {
    store_word(region0, kReadMarkAt + 4 * size_t(mark), value);
}

WalIndexHeader restart_wal_index(volatile void* region0, const WalIndexHeader& now,
                                 uint32_t salt2) {
    WalIndexHeader header = now;
    header.max_frame = 0;
    header.salt = restarted_salt(now.salt, salt2);
    write_wal_index_header(region0, header);
    store_backfilled(region0, 0);
    store_word(region0, kBackfillAttemptedAt, 0);
    store_read_mark(region0, 1, 0);
    for (int mark = 2; mark < kReadMarks; ++mark) store_read_mark(region0, mark, kReadMarkNotUsed);
    return header;
}

Pgno frame_page(const volatile void* region, uint32_t frame) {
    const RegionFrames frames = frames_of_region(region_of_frame(frame));
    return Pgno(load_word(region, frames.pages_at + 4 * size_t{frame - frames.frames_before - 1}));
}

bool append_frame_page(volatile void* region, uint32_t frame, Pgno pgno) {
    const RegionFrames frames = frames_of_region(region_of_frame(frame));
    const uint32_t index = frame - frames.frames_before;  // from 1
    const size_t page_at = frames.pages_at + 4 * size_t{index - 1};
    // The first frame of a region always wipes it: its content may be of an earlier WAL. Later
    // ones only what a writer left that died after entering frames, and before its commit.
    if (index == 1 || load_word(region, page_at) != 0) {
        forget_frames_after(region, frames.pages_at, index - 1);
    }
    uint32_t slot = (pgno.value * 383) & (kHashSlots - 1);
    uint32_t collisions = 0;
    while (__atomic_load_n(hash_slot(region, slot), __ATOMIC_RELAXED) != 0) {
        if (++collisions > index) return false;
        slot = (slot + 1) & (kHashSlots - 1);
    }
    store_word(region, page_at, pgno.value);
    __atomic_store_n(hash_slot(region, slot), static_cast<uint16_t>(index), __ATOMIC_RELEASE);
    return true;
}

}  // namespace tanist
