#include "replicator/wal/wal_format.h"

#include <doctest/doctest.h>

#include "replicator/base/file.h"
#include "tests/support/stock_sqlite.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

struct StockWal {
    TempDir dir;
    StockSqlite db{dir.path("a.db")};
    explicit StockWal(const std::string& page_size) {
        db.must("PRAGMA page_size=" + page_size);
        db.must("PRAGMA journal_mode=WAL");
        db.must("CREATE TABLE t(x)");
        db.must("INSERT INTO t VALUES(1)");
    }
    Bytes bytes() { return read_file(dir.path("a.db-wal"), 64 << 20).value(); }
};

}  // namespace

// Pages are summed in four parts at once; pieces of eight bytes are summed as SQLite does.
TEST_CASE("wal_format: a page's checksum is that of its words one after the other") {
    for (size_t size = 8; size <= 65536; size *= 2) {
        Bytes page(size);
        for (size_t i = 0; i < size; ++i) page[i] = static_cast<uint8_t>(i * 31 + i / 256 * 7);
        for (const bool big : {false, true}) {
            const WalChecksum seed{0x89abcdef, 0x01234567};
            WalChecksum sum = seed;
            for (size_t at = 0; at < size; at += 8) {
                sum = wal_checksum(ByteView(page).subspan(at, 8), sum, big);
            }
            CHECK(wal_checksum(page, seed, big) == sum);
        }
    }
}

TEST_CASE("wal_format: checksums are those of a WAL that stock SQLite wrote") {
    for (const char* size : {"512", "4096", "65536"}) {
        StockWal wal(size);
        const Bytes bytes = wal.bytes();
        Result<WalHeader> header = decode_wal_header(bytes);
        REQUIRE(header.ok());
        CHECK(header->page_bytes == std::stoul(size));
        WalChecksum running = header->checksum;
        uint32_t frames = 0;
        for (uint32_t frame = 1;; ++frame) {
            const uint64_t at = wal_frame_offset(frame, header->page_bytes);
            const uint64_t frame_bytes = kWalFrameHeaderBytes + header->page_bytes;
            if (at + frame_bytes > bytes.size()) break;
            const ByteView stored = ByteView(bytes).subspan(at, frame_bytes);
            const WalFrameHeader found = decode_wal_frame_header(stored);
            Bytes again(kWalFrameHeaderBytes);
            encode_wal_frame_header(found.pgno, found.db_pages, header->salt,
                                    header->big_endian_checksums,
                                    stored.subspan(kWalFrameHeaderBytes), running, again);
            CHECK(std::equal(again.begin(), again.end(), stored.begin()));
            frames = frame;
        }
        CHECK(frames >= 2);
    }
}

TEST_CASE("wal_format: an encoded header decodes to itself") {
    WalHeader header;
    header.page_bytes = 65536;
    header.checkpoint_sequence = 7;
    header.salt = {1, 0xffffffff};
    for (bool big : {false, true}) {
        header.big_endian_checksums = big;
        Bytes bytes(kWalHeaderBytes);
        const WalChecksum sum = encode_wal_header(header, bytes);
        Result<WalHeader> back = decode_wal_header(bytes);
        REQUIRE(back.ok());
        CHECK(back->checksum == sum);
        CHECK(back->salt == header.salt);
        CHECK(back->big_endian_checksums == big);
        CHECK(back->checkpoint_sequence == 7);
    }
}

TEST_CASE("wal_format: a header with one wrong bit is corrupt") {
    StockWal wal("4096");
    Bytes bytes = wal.bytes();
    bytes.resize(kWalHeaderBytes);
    for (size_t at = 0; at < kWalHeaderBytes; ++at) {
        Bytes damaged = bytes;
        damaged[at] ^= 0x10;
        CHECK_FALSE(decode_wal_header(damaged).ok());
    }
    CHECK_FALSE(decode_wal_header(ByteView(bytes).first(31)).ok());
}
