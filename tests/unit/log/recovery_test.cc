#include "replicator/log/recovery.h"

#include "tests/unit/log/log_fixture.h"

namespace tanist {

TEST_CASE_FIXTURE(LogFixture, "recovery: a tail torn at any byte of the last record is the end") {
    append(3);
    const uint64_t last_at = kRecordsAt + 2 * kSmallRecordBytes;
    Result<Bytes> whole_file = read_file(segment_path(1), 1 << 20);
    REQUIRE(whole_file.ok());
    for (uint64_t cut = 0; cut < kSmallRecordBytes; ++cut) {
        log.reset();
        REQUIRE(replace_file(segment_path(1), *whole_file).ok());
        cut_at(1, last_at + cut);
        CAPTURE(cut);
        REQUIRE_MESSAGE(reopen(), error);
        REQUIRE(end_lsn() == 2);
        // Less than the magic cannot be told from nothing.
        CHECK(log->recovery().torn_bytes == (cut < 4 ? 0 : cut));
    }
    append(1);
    REQUIRE(reopen());
    CHECK(whole(1, 3));
}

TEST_CASE_FIXTURE(LogFixture,
                  "recovery: a flipped byte before the end is damage, nothing changes") {
    append(3);
    for (uint64_t at : {uint64_t{20}, kRecordHeaderBytes + 100}) {
        flip_byte(1, kRecordsAt + kSmallRecordBytes + at);
        Result<Bytes> before = read_file(segment_path(1), 1 << 20);
        CHECK(!reopen());
        CHECK(code == Errc::corrupt);
        CHECK(error.find(segment_name(Lsn(1))) != std::string::npos);
        CHECK(error.find("byte " + std::to_string(kRecordsAt + kSmallRecordBytes)) !=
              std::string::npos);
        CHECK(*read_file(segment_path(1), 1 << 20) == *before);
        flip_byte(1, kRecordsAt + kSmallRecordBytes + at);
    }
    CHECK(reopen());
}

TEST_CASE_FIXTURE(LogFixture,
                  "recovery: a flipped byte in the last, unsynced record is a torn tail") {
    append(3);
    flip_byte(1, kRecordsAt + 2 * kSmallRecordBytes + 300);
    REQUIRE(reopen());
    CHECK(end_lsn() == 2);
    CHECK(log->recovery().torn_bytes == kSmallRecordBytes);
}

// Found by tests/crash: with one mark only, a cut in it left a log that no node could open.
TEST_CASE_FIXTURE(LogFixture, "recovery: a power cut in the mark is still known as a power cut") {
    append(2);
    REQUIRE(log->sync().ok());
    append(2);
    REQUIRE(log->sync().ok());
    append(2);
    cut_power_in_mark(1);
    flip_byte(1, kRecordsAt + 4 * kSmallRecordBytes + 300);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == 4);
}

// A node that said "durable" must not come back with less.
TEST_CASE_FIXTURE(LogFixture, "recovery: a synced record that is gone is damage") {
    append(3);
    REQUIRE(log->sync().ok());
    flip_byte(1, kRecordsAt + 2 * kSmallRecordBytes + 300);
    CHECK(!reopen());
    CHECK(code == Errc::corrupt);
}

// The disk may have written a later page of one batch and not an earlier one.
TEST_CASE_FIXTURE(LogFixture, "recovery: after a power cut an unsynced hole is the end") {
    append(2);
    REQUIRE(log->sync().ok());
    append(3);
    log.reset();
    flip_byte(1, kRecordsAt + 2 * kSmallRecordBytes + 300);
    change_boot(1, 2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == 2);
    CHECK(log->recovery().torn_bytes > 0);
    // What stood behind the hole is gone for good: it must not look like damage later.
    append(1, 3);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == 3);
}

struct LateLog : LogFixture {
    LateLog() {
        options.sync_later = true;
        REQUIRE(reopen());
        append(5);
        REQUIRE(log->sync().ok());
        append(300);
        segments = log->stat().segments;
        REQUIRE(segments > 3);
        log.reset();
        for (uint64_t i = 0; i < segments; ++i) change_boot(1 + i * per_segment, 5);
    }
    const uint64_t per_segment = (options.segment_bytes - kRecordsAt) / kSmallRecordBytes;
    uint64_t segments = 0;
};

TEST_CASE_FIXTURE(LateLog, "recovery: a log that syncs later ends where a power cut left a hole") {
    flip_byte(1 + per_segment, kRecordsAt + 2 * kSmallRecordBytes + 300);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == per_segment + 2);
    CHECK(log->stat().segments == 2);
    CHECK(log->recovery().torn_bytes > 0);
    // What had followed is gone for good.
    append(200, 2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(whole(1, per_segment + 202));
}

TEST_CASE_FIXTURE(LateLog,
                  "recovery: a log that syncs later survives the loss of a whole segment") {
    REQUIRE(replace_file(segment_path(1 + per_segment), Bytes(options.segment_bytes)).ok());
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == per_segment);
    CHECK(whole(1, per_segment));
}

TEST_CASE_FIXTURE(LateLog, "recovery: in a log that syncs later a synced record is still owed") {
    flip_byte(1, kRecordsAt + 3 * kSmallRecordBytes + 20);
    CHECK(!reopen());
    CHECK(code == Errc::corrupt);
}

TEST_CASE_FIXTURE(LateLog, "recovery: a log that syncs later has all when nothing was lost") {
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == 305);
    CHECK(whole(1, 305));
}

TEST_CASE_FIXTURE(LogFixture, "recovery: damage in an earlier segment is damage") {
    append(300);
    REQUIRE(log->stat().segments > 2);
    flip_byte(1, kRecordsAt + kSmallRecordBytes + 20);
    CHECK(!reopen());
    CHECK(code == Errc::corrupt);
}

TEST_CASE_FIXTURE(LogFixture, "recovery: a missing segment is damage") {
    append(300);
    const uint64_t per_segment = (options.segment_bytes - kRecordsAt) / kSmallRecordBytes;
    log.reset();
    REQUIRE(remove_path(segment_path(per_segment + 1)).ok());
    CHECK(!reopen());
    CHECK(code == Errc::corrupt);
}

TEST_CASE_FIXTURE(LogFixture, "recovery: a last segment without a header is no segment") {
    append(2);
    log.reset();
    REQUIRE(replace_file(segment_path(3), Bytes(options.segment_bytes)).ok());
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == 2);
    append(1);
    REQUIRE(reopen());
    CHECK(end_lsn() == 3);
}

TEST_CASE_FIXTURE(LogFixture,
                  "recovery: a last segment that lost its header but has records is damage") {
    append(100);
    const uint64_t per_segment = (options.segment_bytes - kRecordsAt) / kSmallRecordBytes;
    log.reset();
    flip_byte(per_segment + 1, 20);
    CHECK(!reopen());
    CHECK(code == Errc::corrupt);
}

TEST_CASE_FIXTURE(LogFixture,
                  "recovery: what stands behind the tail of a recycled segment is not read") {
    options.bytes_max = 1;
    REQUIRE(reopen());
    for (int round = 0; round < 500; ++round) {
        append(1);
        REQUIRE(log->retain(Lsn(0), 0).ok());
    }
    const uint64_t first = log->base().position.lsn.value + 1;
    REQUIRE(first > 300);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == 500);
    CHECK(log->recovery().torn_bytes == 0);
    CHECK(whole(first, 500));
}

TEST_CASE_FIXTURE(LogFixture, "recovery: a later version of segment or record is refused") {
    append(1);
    log.reset();
    Result<File> file = File::open(segment_path(1), File::Mode::write);
    REQUIRE(file.ok());
    const uint8_t two = 2;
    const uint8_t one = 1;
    REQUIRE(file->write_at(kRecordsAt + 4, {&two, 1}).ok());
    CHECK(!reopen());
    CHECK(code == Errc::version);
    REQUIRE(file->write_at(kRecordsAt + 4, {&one, 1}).ok());
    REQUIRE(file->write_at(4, {&two, 1}).ok());
    CHECK(!reopen());
    CHECK(code == Errc::version);
    CHECK(error.find("version 2") != std::string::npos);
}

TEST_CASE_FIXTURE(LogFixture, "recovery: a log of another group is refused with both names") {
    append(1);
    CHECK(!reopen(8));
    CHECK(code == Errc::invalid);
    CHECK(error.find(to_string(group_of(7))) != std::string::npos);
    CHECK(error.find(to_string(group_of(8))) != std::string::npos);
}

}  // namespace tanist
