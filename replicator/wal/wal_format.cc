#include "replicator/wal/wal_format.h"

#include <bit>

namespace tanist {
namespace {

constexpr uint32_t kWalMagic = 0x377f0682;  // the lowest bit says big-endian checksums
constexpr uint32_t kWalVersion = 3007000;
constexpr size_t kChecksummedHeaderBytes = 24;
constexpr size_t kChecksummedFrameBytes = 8;

template <bool kSwap>
void add_pair(const uint8_t* at, WalChecksum& sum) {
    uint32_t word[2];
    std::memcpy(word, at, sizeof word);
    if constexpr (kSwap) {
        word[0] = __builtin_bswap32(word[0]);
        word[1] = __builtin_bswap32(word[1]);
    }
    sum.a += word[0] + sum.b;
    sum.b += word[1] + sum.a;
}

template <bool kSwap>
WalChecksum checksum_words(ByteView bytes, WalChecksum sum) {
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) add_pair<kSwap>(bytes.data() + at, sum);
    return sum;
}

// What n further pairs of zeros make of the sums: a linear map, since each pair adds to both what
// the two sums and its words are. Its matrix is [[f0, f1], [f1, f2]] with Fibonacci
// numbers modulo 2^32; one pair makes it [[1, 1], [1, 2]].
struct Carry {
    uint32_t f0 = 1;
    uint32_t f1 = 1;
    uint32_t f2 = 2;
    void twice() { *this = {f0 * f0 + f1 * f1, f1 * (f0 + f2), f1 * f1 + f2 * f2}; }
    WalChecksum over(WalChecksum sum) const {
        return {f0 * sum.a + f1 * sum.b, f1 * sum.a + f2 * sum.b};
    }
};

// Each sum waits for the one before it, which leaves most of a processor idle. So four quarters
// are summed side by side, each from zero, and put together with what the later ones make of the
// earlier. Requires: a power of two, at least 64 bytes.
template <bool kSwap>
WalChecksum checksum_quarters(ByteView bytes, WalChecksum sum) {
    constexpr size_t kParts = 4;
    const size_t part = bytes.size() / kParts;
    WalChecksum parts[kParts];
    const uint8_t* start = bytes.data();
    for (size_t at = 0; at < part; at += 8) {
        add_pair<kSwap>(start + at, parts[0]);
        add_pair<kSwap>(start + part + at, parts[1]);
        add_pair<kSwap>(start + 2 * part + at, parts[2]);
        add_pair<kSwap>(start + 3 * part + at, parts[3]);
    }
    Carry carry;
    for (size_t pairs = 1; pairs < part / 8; pairs *= 2) carry.twice();
    for (const WalChecksum& own : parts) {
        sum = carry.over(sum);
        sum.a += own.a;
        sum.b += own.b;
    }
    return sum;
}

template <bool kSwap>
WalChecksum checksum(ByteView bytes, WalChecksum seed) {
    if (bytes.size() >= 64 && std::has_single_bit(bytes.size())) {
        return checksum_quarters<kSwap>(bytes, seed);
    }
    return checksum_words<kSwap>(bytes, seed);
}

bool is_page_size(uint32_t bytes) {
    return std::has_single_bit(bytes) && bytes >= 512 && bytes <= 65536;
}

}  // namespace

WalChecksum wal_checksum(ByteView bytes, WalChecksum seed, bool big_endian) {
    const bool native = big_endian == (std::endian::native == std::endian::big);
    return native ? checksum<false>(bytes, seed) : checksum<true>(bytes, seed);
}

Result<WalHeader> decode_wal_header(ByteView bytes) {
    if (bytes.size() < kWalHeaderBytes) return Error{Errc::corrupt, "the WAL header is cut off"};
    const uint8_t* at = bytes.data();
    const uint32_t magic = load_be32(at);
    if ((magic & ~1u) != kWalMagic) return Error{Errc::corrupt, "not a WAL: wrong magic number"};
    if (load_be32(at + 4) != kWalVersion) {
        return Error{Errc::corrupt, "unknown WAL version " + std::to_string(load_be32(at + 4))};
    }
    WalHeader header;
    header.big_endian_checksums = (magic & 1) != 0;
    header.page_bytes = load_be32(at + 8);
    header.checkpoint_sequence = load_be32(at + 12);
    header.salt = {load_be32(at + 16), load_be32(at + 20)};
    header.checksum = {load_be32(at + 24), load_be32(at + 28)};
    if (!is_page_size(header.page_bytes)) {
        return Error{Errc::corrupt, "impossible page size " + std::to_string(header.page_bytes)};
    }
    const WalChecksum sum =
        wal_checksum(bytes.first(kChecksummedHeaderBytes), {}, header.big_endian_checksums);
    if (sum != header.checksum) return Error{Errc::corrupt, "the WAL header's checksum is wrong"};
    return header;
}

WalChecksum encode_wal_header(const WalHeader& header, MutableBytes out) {
    uint8_t* at = out.data();
    store_be32(at, kWalMagic | (header.big_endian_checksums ? 1u : 0u));
    store_be32(at + 4, kWalVersion);
    store_be32(at + 8, header.page_bytes);
    store_be32(at + 12, header.checkpoint_sequence);
    store_be32(at + 16, header.salt.salt1);
    store_be32(at + 20, header.salt.salt2);
    const WalChecksum sum =
        wal_checksum(ByteView(out).first(kChecksummedHeaderBytes), {}, header.big_endian_checksums);
    store_be32(at + 24, sum.a);
    store_be32(at + 28, sum.b);
    return sum;
}

WalFrameHeader decode_wal_frame_header(ByteView bytes) {
    WalFrameHeader frame;
    if (bytes.size() < kWalFrameHeaderBytes) return frame;
    const uint8_t* at = bytes.data();
    frame.pgno = Pgno(load_be32(at));
    frame.db_pages = load_be32(at + 4);
    frame.salt = {load_be32(at + 8), load_be32(at + 12)};
    frame.checksum = {load_be32(at + 16), load_be32(at + 20)};
    return frame;
}

void encode_wal_frame_header(Pgno pgno, uint32_t db_pages, WalSalt salt, bool big_endian,
                             ByteView page, WalChecksum& running, MutableBytes out) {
    uint8_t* at = out.data();
    store_be32(at, pgno.value);
    store_be32(at + 4, db_pages);
    store_be32(at + 8, salt.salt1);
    store_be32(at + 12, salt.salt2);
    running = wal_checksum(ByteView(out).first(kChecksummedFrameBytes), running, big_endian);
    running = wal_checksum(page, running, big_endian);
    store_be32(at + 16, running.a);
    store_be32(at + 20, running.b);
}

}  // namespace tanist
