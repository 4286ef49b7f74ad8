#include "replicator/wal/wal_index.h"

#include <doctest/doctest.h>

#include "replicator/base/file.h"
#include "replicator/wal/sqlite_handle.h"
#include "tests/support/stock_sqlite.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

struct LiveWal {
    TempDir dir;
    StockSqlite db{dir.path("a.db")};
    std::unique_ptr<SqliteHandle> handle;
    LiveWal() {
        db.must("PRAGMA journal_mode=WAL");
        db.must("PRAGMA wal_autocheckpoint=0");
        db.must("CREATE TABLE t(x)");
        handle = SqliteHandle::open(linked_sqlite(), dir.path("a.db"), {}).value();
    }
    WalIndexHeader header() { return handle->header().value().value(); }
    WalFrameHeader frame_in_file(uint32_t frame) {
        Bytes bytes(kWalFrameHeaderBytes);
        CHECK(handle->read_wal(wal_frame_offset(frame, 4096), bytes).ok());
        return decode_wal_frame_header(bytes);
    }
};

// A wal-index of our own, in memory.
struct OwnIndex {
    std::vector<uint32_t> words = std::vector<uint32_t>(kWalIndexRegionBytes / 4);
    void* memory() { return words.data(); }
};

}  // namespace

TEST_CASE("wal_index: the header is that of the last commit") {
    LiveWal wal;
    const WalIndexHeader before = wal.header();
    wal.db.must("INSERT INTO t VALUES(1)");
    const WalIndexHeader after = wal.header();
    CHECK(after.version == kWalIndexVersion);
    CHECK(after.page_bytes == 4096);
    CHECK(after.change == before.change + 1);
    CHECK(after.max_frame > before.max_frame);
    const WalFrameHeader last = wal.frame_in_file(after.max_frame);
    CHECK(last.db_pages == after.db_pages);
    CHECK(last.salt == after.salt);
    CHECK(last.checksum == after.frame_checksum);
}

TEST_CASE("wal_index: page numbers of frames, across regions, are those in the WAL") {
    LiveWal wal;
    for (int i = 0; i < 5; ++i) wal.db.must("INSERT INTO t VALUES(zeroblob(4000000))");
    const uint32_t frames = wal.header().max_frame;
    REQUIRE(frames > kFramesInFirstRegion + 10);
    for (uint32_t frame = 1; frame <= frames; ++frame) {
        const volatile void* region = wal.handle->region(region_of_frame(frame), false).value();
        if (frame_page(region, frame) != wal.frame_in_file(frame).pgno) FAIL(frame);
    }
}

TEST_CASE("wal_index: a checkpoint shows in the checkpoint info") {
    LiveWal wal;
    wal.db.must("INSERT INTO t VALUES(1)");
    CHECK(wal.handle->checkpoint_info()->backfilled == 0);
    CHECK(wal.handle->checkpoint_passive().ok());
    CHECK(wal.handle->checkpoint_info()->backfilled == wal.header().max_frame);
}

TEST_CASE("wal_index: a header written is the header read") {
    OwnIndex index;
    CHECK_FALSE(read_wal_index_header(index.memory()).has_value());
    WalIndexHeader header;
    header.version = kWalIndexVersion;
    header.change = 9;
    header.initialised = true;
    header.page_bytes = 65536;
    header.max_frame = 77;
    header.db_pages = 5;
    header.frame_checksum = {1, 2};
    header.salt = {3, 4};
    write_wal_index_header(index.memory(), header);
    CHECK(read_wal_index_header(index.memory()) == header);
}

TEST_CASE("wal_index: copies that differ are no header") {
    OwnIndex index;
    WalIndexHeader header;
    header.page_bytes = 4096;
    write_wal_index_header(index.memory(), header);
    index.words[12 + 4] += 1;  // max_frame of copy 1
    CHECK_FALSE(read_wal_index_header(index.memory()).has_value());
}

TEST_CASE("wal_index: a restart empties the WAL under a new salt") {
    OwnIndex index;
    WalIndexHeader header;
    header.initialised = true;
    header.page_bytes = 4096;
    header.max_frame = 10;
    header.salt = {5, 6};
    store_backfilled(index.memory(), 10);
    const WalIndexHeader fresh = restart_wal_index(index.memory(), header, 99);
    CHECK(fresh.salt == WalSalt{6, 99});
    CHECK(fresh.max_frame == 0);
    CHECK(read_checkpoint_info(index.memory()).backfilled == 0);
    CHECK(read_checkpoint_info(index.memory()).read_mark[1] == 0);
    CHECK(read_checkpoint_info(index.memory()).read_mark[4] == kReadMarkNotUsed);
}

// A writer that died after entering its frames leaves them in the table.
TEST_CASE("wal_index: entering a frame wipes what a dead writer left after it") {
    OwnIndex index;
    for (uint32_t frame = 1; frame <= 20; ++frame) {
        CHECK(append_frame_page(index.memory(), frame, Pgno(frame + 100)));
    }
    CHECK(append_frame_page(index.memory(), 11, Pgno(7)));
    CHECK(frame_page(index.memory(), 10) == Pgno(110));
    CHECK(frame_page(index.memory(), 11) == Pgno(7));
    CHECK(frame_page(index.memory(), 12) == Pgno(0));
}
