// Segments that are lent to the archive.
#include "tests/unit/log/log_fixture.h"

using namespace tanist;

namespace {

struct LendFixture : LogFixture {
    const uint64_t per_segment = (options.segment_bytes - kRecordsAt) / kSmallRecordBytes;

    // One segment is closed: the next one has `more` records.
    void close_one(int more = 1) { append(static_cast<int>(per_segment) + more); }
    std::optional<ClosedSegment> lend(uint64_t after, uint64_t durable) {
        return log->lend(Lsn(after), Lsn(durable));
    }
    // The first one, and an open file that stays the same whatever its name becomes.
    ClosedSegment lend_first() {
        let_go_of_everything();
        close_one();
        const auto lent = lend(0, end_lsn());
        REQUIRE(lent);
        file = *File::open(log_dir() + "/" + lent->name, File::Mode::read);
        return *lent;
    }
    Bytes content() const {
        Bytes bytes(file.stat()->bytes);
        REQUIRE(file.read_exactly_at(0, bytes).ok());
        return bytes;
    }
    // Retention drops whatever it may, until files are used again.
    void let_go_of_everything() {
        options.bytes_max = 1;
        REQUIRE(reopen());
    }
    void grow() {
        for (int i = 0; i < 400; ++i) {
            append(1);
            REQUIRE(log->retain(Lsn(0), 0).ok());
        }
    }

    File file;
};

}  // namespace

TEST_CASE_FIXTURE(LendFixture, "log: a segment is lent when the next one has a durable record") {
    close_one();
    CHECK_FALSE(lend(0, per_segment));
    const auto lent = lend(0, per_segment + 1);
    REQUIRE(lent);
    CHECK(lent->name == segment_name(Lsn(1)));
    CHECK(lent->previous == LogPoint{});
    CHECK(lent->last.position.lsn == Lsn(per_segment));
}

TEST_CASE_FIXTURE(LendFixture,
                  "log: the last segment is never lent, and those before `after` are not") {
    close_one();
    CHECK_FALSE(lend(per_segment, per_segment + 1));
    append(static_cast<int>(per_segment));
    const auto second = lend(per_segment, end_lsn());
    REQUIRE(second);
    CHECK(second->previous.position.lsn == Lsn(per_segment));
    CHECK(lend(per_segment - 1, end_lsn())->last.position.lsn == Lsn(per_segment));
}

TEST_CASE_FIXTURE(LendFixture, "log: a lent segment's file is not written again while it is lent") {
    const ClosedSegment lent = lend_first();
    const Bytes before = content();
    grow();
    CHECK(log->stat().first > lent.last.position.lsn);
    CHECK(content() == before);
}

TEST_CASE_FIXTURE(LendFixture, "log: a segment that was given back is used again") {
    lend_first();
    const Bytes before = content();
    log->give_back();
    grow();
    CHECK(content() != before);
}
