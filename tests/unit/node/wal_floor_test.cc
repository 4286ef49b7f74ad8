#include "replicator/node/wal_floor.h"

#include <doctest/doctest.h>

#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

struct Primary {
    TempDir dir;
    std::unique_ptr<Log> log;
    Primary() {
        GroupId group;
        group.bytes[0] = 1;
        log = Log::open(dir.path("log"), group, {}).value();
    }
    void commit(uint32_t salt, int count) {
        for (int i = 0; i < count; ++i) {
            RecordHeader header;
            header.kind = RecordKind::commit;
            header.epoch = Epoch(1);
            header.wal = {salt, salt, 1, 1, 1, 1};
            header.page_bytes = 512;
            header.db_pages = header.page_count = 1;
            Bytes payload(520, 0);
            payload[0] = 1;
            REQUIRE(log->begin(payload.size()).ok());
            REQUIRE(log->write(payload).ok());
            REQUIRE(log->finish(header).ok());
            REQUIRE(log->publish().ok());
        }
    }
    Lsn end() const { return log->end().position.lsn; }
    CapturedPoint captured(uint32_t salt) const {
        CapturedPoint point;
        point.salt1 = point.salt2 = salt;
        point.position = log->end().position;
        return point;
    }
};

}  // namespace

TEST_CASE("wal_floor: the records of the present WAL and of the one before it are kept") {
    Primary primary;
    WalFloor floor(*primary.log);
    std::vector<Lsn> ends;
    for (uint32_t wal = 1; wal <= 4; ++wal) {
        primary.commit(wal, 5);
        floor.saw(primary.captured(wal));
        ends.push_back(primary.end());
    }
    CHECK(floor.needed() == ends[1]);  // where WAL 3 began
    floor.saw(primary.captured(5));    // nothing in it yet
    CHECK(floor.needed() == ends[2]);
}

TEST_CASE("wal_floor: an engine that comes later keeps no less") {
    Primary primary;
    primary.commit(1, 50);
    primary.commit(2, 50);
    const Lsn third = primary.end();
    primary.commit(3, 50);
    primary.commit(4, 3);
    WalFloor floor(*primary.log);
    CHECK(floor.needed() <= third);
    CHECK(floor.needed() >= Lsn(1));
    floor.saw(primary.captured(4));
    CHECK(floor.needed() <= third);
}

TEST_CASE("wal_floor: of a log that knows one WAL only, all is kept") {
    Primary primary;
    primary.commit(1, 40);
    WalFloor floor(*primary.log);
    floor.saw(primary.captured(1));
    CHECK(floor.needed() == Lsn(1));
}
