#include "replicator/node/own_tail.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

// A log of commits, each of one page, as a primary's capture wrote them.
struct Tail {
    TempDir dir;
    GroupId group;
    std::unique_ptr<Log> log;
    std::set<uint64_t> shown;        // commits whose pages the database shows
    bool summed = true;              // what is added knows the checksum of its last frame
    std::optional<WalMoment> after;  // what the extension noted of the WAL that is there
    Tail() {
        group.bytes[0] = 1;
        log = Log::open(dir.path("log"), group, {}).value();
    }
    // Returns the point after it.
    LogPoint add(RecordKind kind, uint32_t salt, uint32_t frame) {
        RecordHeader header;
        header.kind = kind;
        header.epoch = Epoch(1);
        header.wal = {salt, salt, frame, frame, frame * 100 + salt, 1};
        if (!summed) header.wal.checksum_a = header.wal.checksum_b = 0;
        if (kind == RecordKind::epoch) header.page_bytes = 512;
        Bytes payload;
        if (kind == RecordKind::commit) {
            header.page_bytes = 512;
            header.db_pages = header.page_count = 1;
            payload.assign(520, 0);
            payload[0] = 1;
        }
        if (kind == RecordKind::abort) header.subject = log->end().position.lsn;
        REQUIRE(log->begin(payload.size()).ok());
        REQUIRE(log->write(payload).ok());
        auto sealed = log->finish(header);
        REQUIRE_MESSAGE(sealed.ok(), (sealed.ok() ? "" : sealed.error().message));
        REQUIRE(log->publish().ok());
        return log->end();
    }
    OwnPlace find(uint32_t salt, uint32_t frame) {
        const auto shows = [this](const RecordHeader& record) -> Result<bool> {
            return shown.contains(record.lsn.value);
        };
        return find_own_place(*log, {salt, salt, frame, frame * 100 + salt, 1, false, after}, shows)
            .value();
    }
    OwnPlace::Kind kind(uint32_t salt, uint32_t frame) { return find(salt, frame).kind; }
};

}  // namespace

TEST_CASE("own_tail: a database at the log's end lacks nothing") {
    Tail tail;
    tail.add(RecordKind::commit, 5, 1);
    tail.add(RecordKind::commit, 5, 2);
    CHECK(tail.kind(5, 2) == OwnPlace::Kind::covered);
}

TEST_CASE("own_tail: the commits behind the WAL's last frame are what it lacks") {
    Tail tail;
    const LogPoint first = tail.add(RecordKind::commit, 5, 1);
    tail.add(RecordKind::commit, 5, 2);
    tail.add(RecordKind::commit, 6, 1);
    CHECK(tail.find(5, 1).from == first);
    CHECK(tail.kind(5, 1) == OwnPlace::Kind::behind);
}

TEST_CASE("own_tail: of a WAL that is empty again, everything that it held is lacking") {
    Tail tail;
    tail.add(RecordKind::commit, 5, 1);
    const LogPoint old = tail.add(RecordKind::commit, 5, 2);
    tail.add(RecordKind::commit, 6, 1);
    tail.add(RecordKind::commit, 6, 2);
    CHECK(tail.find(6, 0).from == old);
    CHECK(tail.kind(6, 0) == OwnPlace::Kind::behind);
}

// Found by tests/crash: with the second power cut in a row, no engine started any more.
TEST_CASE("own_tail: the epoch after a replay says where the replayed commits ended") {
    Tail tail;
    tail.add(RecordKind::commit, 5, 1);
    tail.add(RecordKind::commit, 5, 2);
    const LogPoint epoch = tail.add(RecordKind::epoch, 5, 7);
    tail.add(RecordKind::commit, 5, 8);
    CHECK(tail.find(5, 7).from == epoch);
    CHECK(tail.kind(5, 7) == OwnPlace::Kind::behind);
}

TEST_CASE("own_tail: a commit that was held back is known by its pages") {
    Tail tail;
    tail.add(RecordKind::commit, 5, 1);
    tail.summed = false;
    const LogPoint held = tail.add(RecordKind::commit, 5, 3);
    tail.add(RecordKind::commit, 5, 5);
    CHECK(tail.kind(5, 3) == OwnPlace::Kind::unknown);
    tail.shown = {held.position.lsn.value};
    CHECK(tail.find(5, 3).from == held);
}

TEST_CASE("own_tail: of a WAL without a header, the newest commit's pages tell") {
    Tail tail;
    const LogPoint newest = tail.add(RecordKind::commit, 5, 1);
    CHECK(tail.kind(0, 0) == OwnPlace::Kind::unknown);
    tail.shown = {newest.position.lsn.value};
    CHECK(tail.kind(0, 0) == OwnPlace::Kind::covered);
}

// Written over, it would lose what was committed after the log.
TEST_CASE("own_tail: a database that is ahead of the log is left alone") {
    Tail tail;
    tail.add(RecordKind::commit, 5, 1);
    tail.add(RecordKind::commit, 5, 2);
    CHECK(tail.kind(5, 3) == OwnPlace::Kind::covered);
    // Restarted: everything before is in the database.
    CHECK(tail.kind(6, 0) == OwnPlace::Kind::covered);
    CHECK(tail.kind(6, 4) == OwnPlace::Kind::covered);
    CHECK(tail.kind(9, 4) == OwnPlace::Kind::covered);
    CHECK(tail.kind(4, 4) == OwnPlace::Kind::unknown);
    CHECK(tail.kind(5 + 4097, 4) == OwnPlace::Kind::unknown);
}

// Found by tests/crash: whoever begins a WAL that the engine restarted draws a salt of chance.
TEST_CASE("own_tail: a WAL that is noted to follow the log's last lacks nothing") {
    Tail tail;
    tail.add(RecordKind::commit, 5, 1);
    tail.after = WalMoment{1, 5, 5, 3};
    CHECK(tail.kind(7000, 0) == OwnPlace::Kind::covered);
    CHECK(tail.kind(7000, 4) == OwnPlace::Kind::covered);
    CHECK(tail.kind(0, 0) == OwnPlace::Kind::covered);  // its header is torn
    tail.after = WalMoment{1, 4, 4, 3};
    CHECK(tail.kind(7000, 4) == OwnPlace::Kind::unknown);
}

// Found by tests/crash: after a recovery of an empty WAL the next one's salts are of chance.
TEST_CASE("own_tail: a log that ends where the WAL was empty has nothing that lacks") {
    Tail tail;
    tail.add(RecordKind::commit, 5, 1);
    tail.add(RecordKind::rebase, 6, 0);
    CHECK(tail.kind(7000, 0) == OwnPlace::Kind::covered);
    CHECK(tail.kind(7000, 3) == OwnPlace::Kind::covered);
}

// Found by tests/crash: a power cut in the first commit of all, and no engine started any more.
TEST_CASE("own_tail: nothing lacks in a database whose log has no commit yet") {
    Tail tail;
    tail.add(RecordKind::rebase, 0, 0);
    CHECK(tail.kind(9, 0) == OwnPlace::Kind::covered);
    tail.add(RecordKind::commit, 9, 1);
    CHECK(tail.kind(8, 0) == OwnPlace::Kind::unknown);
}

TEST_CASE("own_tail: what the log does not know is not written over") {
    Tail tail;
    CHECK(tail.kind(9, 1) == OwnPlace::Kind::covered);
    tail.add(RecordKind::commit, 5, 1);
    tail.add(RecordKind::commit, 5, 4);
    CHECK(tail.kind(4, 0) == OwnPlace::Kind::unknown);
    CHECK(tail.kind(4, 1) == OwnPlace::Kind::unknown);
    CHECK(tail.kind(5, 2) == OwnPlace::Kind::unknown);
    tail.add(RecordKind::rebase, 7, 2);
    tail.add(RecordKind::commit, 7, 3);
    CHECK(tail.kind(5, 1) == OwnPlace::Kind::unknown);
    CHECK(tail.kind(7, 2) == OwnPlace::Kind::behind);
}
