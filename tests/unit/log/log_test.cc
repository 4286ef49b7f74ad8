#include "replicator/log/log.h"

#include <atomic>
#include <thread>

#include "replicator/base/hash.h"
#include "tests/support/disk_limits.h"
#include "tests/unit/log/log_fixture.h"

namespace tanist {

TEST_CASE_FIXTURE(LogFixture, "log: a new log is empty and says so") {
    CHECK(log->recovery().created);
    CHECK(log->end() == LogPoint{});
    CHECK(!log->last());
    CHECK(log->stat().first == Lsn(0));
    REQUIRE(reopen());
    CHECK(!log->recovery().created);
}

TEST_CASE_FIXTURE(LogFixture, "log: without a group nothing is created") {
    TempDir other;
    Result<std::unique_ptr<Log>> got = Log::open(other.path("log"), GroupId{}, options);
    REQUIRE(!got.ok());
    CHECK(got.error().code == Errc::not_found);
    CHECK(!path_exists(other.path("log")));
}

TEST_CASE_FIXTURE(LogFixture, "log: without a group the one found is accepted") {
    append(1);
    log.reset();
    Result<std::unique_ptr<Log>> got = Log::open(log_dir(), GroupId{}, options);
    REQUIRE(got.ok());
    CHECK((*got)->group() == group_of(7));
}

TEST_CASE_FIXTURE(LogFixture, "log: what was appended is there after opening again") {
    append(5);
    const LogPoint end = log->end();
    CHECK(end.chain == log->last()->chain);
    REQUIRE(reopen());
    CHECK(log->end() == end);
    CHECK(log->last()->lsn == Lsn(5));
    CHECK(whole(1, 5));
}

TEST_CASE_FIXTURE(LogFixture, "log: each record holds the chain of the one before it") {
    append(3);
    auto reader = log->reader();
    CHECK(reader->header_of(Lsn(1))->previous.is_zero());
    CHECK(reader->header_of(Lsn(3))->previous == reader->header_of(Lsn(2))->chain);
}

TEST_CASE_FIXTURE(LogFixture, "log: a record is not seen before publish") {
    append(1);
    REQUIRE(try_append(1).ok());
    auto reader = log->reader();
    CHECK(reader->header_of(Lsn(2)).error().code == Errc::not_found);
    CHECK(log->last()->lsn == Lsn(2));
    CHECK(end_lsn() == 1);
    REQUIRE(log->publish().ok());
    CHECK(reader->header_of(Lsn(2)).ok());
}

TEST_CASE_FIXTURE(LogFixture, "log: an abandoned record leaves nothing") {
    append(1);
    REQUIRE(log->begin(520).ok());
    REQUIRE(log->write(Bytes(100)).ok());
    log->abandon();
    append(1);
    REQUIRE(reopen());
    CHECK(whole(1, 2));
}

TEST_CASE_FIXTURE(LogFixture, "log: an abandoned large record leaves nothing") {
    append(1);
    REQUIRE(log->begin(2 << 20).ok());
    REQUIRE(log->write(Bytes(1 << 20, 5)).ok());
    log->abandon();
    append(2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(whole(1, 3));
}

TEST_CASE_FIXTURE(LogFixture, "log: a record larger than a segment gets one of its own") {
    append(1);
    append(1, 5000);
    append(1);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(log->stat().segments == 3);
    CHECK(path_exists(segment_path(2)));
    CHECK(path_exists(segment_path(3)));
    CHECK(whole(1, 3));
}

TEST_CASE_FIXTURE(LogFixture, "log: a large record that comes first makes the empty segment grow") {
    append(1, 5000);
    append(1);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(log->stat().segments == 2);
    CHECK(whole(1, 2));
}

TEST_CASE_FIXTURE(LogFixture, "log: a record may come in many parts") {
    const Bytes payload = commit_payload(4000, 512, 3);
    REQUIRE(log->begin(payload.size()).ok());
    for (size_t at = 0; at < payload.size(); at += 777) {
        REQUIRE(
            log->write(ByteView(payload).subspan(at, std::min<size_t>(777, payload.size() - at)))
                .ok());
    }
    Result<RecordHeader> header = log->finish(commit_header(4000));
    REQUIRE(header.ok());
    CHECK(header->payload_hash == hash128(payload));
    REQUIRE(log->publish().ok());
    CHECK(*log->reader()->payload(*header) == payload);
}

TEST_CASE_FIXTURE(LogFixture, "log: small records cross segments") {
    append(400);
    CHECK(log->stat().segments > 3);
    CHECK(log->stat().bytes == 400 * kSmallRecordBytes);
    REQUIRE(reopen());
    CHECK(whole(1, 400));
}

TEST_CASE_FIXTURE(LogFixture, "log: records that wait for publish cross segments too") {
    for (int i = 0; i < 300; ++i) REQUIRE(try_append(1).ok());
    CHECK(end_lsn() == 0);
    REQUIRE(log->publish().ok());
    CHECK(whole(1, 300));
}

TEST_CASE_FIXTURE(LogFixture, "log: a header that contradicts the payload is invalid") {
    REQUIRE(log->begin(520).ok());
    REQUIRE(log->write(Bytes(520)).ok());
    CHECK(log->finish(commit_header(2)).error().code == Errc::invalid);
    REQUIRE(log->begin(520).ok());
    REQUIRE(log->write(Bytes(519)).ok());
    CHECK(log->finish(commit_header(1)).error().code == Errc::invalid);
    REQUIRE(log->begin(520).ok());
    CHECK(!log->write(Bytes(521)).ok());
    append(1);
    CHECK(whole(1, 1));
}

TEST_CASE_FIXTURE(LogFixture, "log: an epoch does not go back") {
    RecordHeader header;
    header.kind = RecordKind::epoch;
    header.epoch = Epoch(5);
    REQUIRE(log->begin(0).ok());
    REQUIRE(log->finish(header).ok());
    header.epoch = Epoch(4);
    REQUIRE(log->begin(0).ok());
    CHECK(!log->finish(header).ok());
    CHECK(log->last()->epoch == Epoch(5));
}

TEST_CASE_FIXTURE(LogFixture, "log: a received record is stored bit for bit") {
    append(2);
    LogFixture replica;
    auto reader = log->reader();
    for (uint64_t lsn : {1, 2}) {
        Result<RecordHeader> header = reader->header_of(Lsn(lsn));
        REQUIRE(replica.log->begin(header->payload_bytes).ok());
        REQUIRE(replica.log->write(*reader->payload(*header)).ok());
        REQUIRE(replica.log->finish_received(*header).ok());
    }
    REQUIRE(replica.log->publish().ok());
    CHECK(replica.log->end() == log->end());
}

TEST_CASE_FIXTURE(LogFixture,
                  "log: a received record that is changed, or not the next, is refused") {
    append(2);
    auto reader = log->reader();
    const RecordHeader first = *reader->header_of(Lsn(1));
    const Bytes payload = *reader->payload(first);
    LogFixture replica;
    auto offer = [&](const RecordHeader& header, const Bytes& bytes) {
        REQUIRE(replica.log->begin(bytes.size()).ok());
        REQUIRE(replica.log->write(bytes).ok());
        Status got = replica.log->finish_received(header);
        return got.ok() ? Errc::busy : got.error().code;
    };
    Bytes wrong = payload;
    wrong[9] ^= 1;
    CHECK(offer(first, wrong) == Errc::corrupt);
    RecordHeader changed = first;
    changed.wal.frame += 1;
    CHECK(offer(changed, payload) == Errc::corrupt);
    CHECK(offer(*reader->header_of(Lsn(2)), payload) == Errc::invalid);
    RecordHeader foreign = first;
    foreign.group = group_of(9);
    CHECK(offer(foreign, payload) == Errc::invalid);
    CHECK(offer(first, payload) == Errc::busy);
    CHECK(offer(first, payload) == Errc::invalid);
}

TEST_CASE_FIXTURE(LogFixture, "log: another history is refused as corrupt") {
    append(2);
    LogFixture other;
    other.append(1, 2);
    auto reader = log->reader();
    const RecordHeader second = *reader->header_of(Lsn(2));
    REQUIRE(other.log->begin(second.payload_bytes).ok());
    REQUIRE(other.log->write(*reader->payload(second)).ok());
    CHECK(other.log->finish_received(second).error().code == Errc::corrupt);
}

TEST_CASE_FIXTURE(LogFixture, "log: reset forgets the records and continues after its base") {
    append(300);
    LogPoint base{{Epoch(3), Lsn(50)}, {}};
    base.chain.bytes.fill(0xab);
    REQUIRE(log->reset(base).ok());
    CHECK(log->end() == base);
    CHECK(log->base() == base);
    CHECK(log->stat().segments == 1);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(log->end() == base);
    RecordHeader header = commit_header(1);
    header.epoch = Epoch(3);
    REQUIRE(log->begin(520).ok());
    REQUIRE(log->write(commit_payload(1, 512, 1)).ok());
    Result<RecordHeader> done = log->finish(header);
    REQUIRE(done.ok());
    CHECK(done->lsn == Lsn(51));
    CHECK(done->previous == base.chain);
}

TEST_CASE_FIXTURE(LogFixture, "log: a reset that was cut short is completed by opening") {
    append(300);
    LogFixture other;
    LogPoint base{{Epoch(3), Lsn(50)}, {}};
    base.chain.bytes.fill(0xab);
    REQUIRE(other.log->reset(base).ok());
    Result<Bytes> bytes = read_file(other.segment_path(51), 1 << 20);
    REQUIRE(bytes.ok());
    log.reset();
    REQUIRE(replace_file(log_dir() + "/reset.log", *bytes).ok());
    CHECK(walk_log(log_dir(), nullptr, true, {})->end == base);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(log->end() == base);
    CHECK(!path_exists(segment_path(1)));
    CHECK(path_exists(segment_path(51)));
}

TEST_CASE_FIXTURE(LogFixture, "log: retain drops whole segments that nobody needs") {
    append(300);
    const uint64_t per_segment = (options.segment_bytes - kRecordsAt) / kSmallRecordBytes;
    Result<Lsn> first = log->retain(Lsn(per_segment + 1), 0);
    REQUIRE(first.ok());
    CHECK(first->value == per_segment + 1);
    CHECK(*log->retain(Lsn(per_segment + 1), 0) == *first);
    CHECK(log->base().position.lsn.value == per_segment);
    REQUIRE(reopen());
    CHECK(log->base().position.lsn.value == per_segment);
    CHECK(whole(per_segment + 1, 300));
    CHECK(log->reader()->header_of(Lsn(1)).error().code == Errc::not_found);
}

TEST_CASE_FIXTURE(LogFixture, "log: retain keeps what it is told to keep, and the last segment") {
    append(300);
    CHECK(log->retain(Lsn(301), 1 << 30)->value == 1);
    REQUIRE(log->retain(Lsn(301), 0).ok());
    CHECK(log->stat().segments == 1);
    CHECK(log->stat().first.value > 1);
}

TEST_CASE_FIXTURE(LogFixture, "log: the hard bound holds whoever needs the records") {
    append(300);
    options.bytes_max = 100 << 10;
    REQUIRE(reopen());
    REQUIRE(log->retain(Lsn(1), 0).ok());
    CHECK(log->stat().bytes <= 100u << 10);
    CHECK(log->stat().first.value > 1);
}

TEST_CASE_FIXTURE(LogFixture, "log: a record larger than the disk leaves the log as it was") {
    append(2);
    const LogPoint end = log->end();
    CHECK(log->begin(uint64_t{1} << 60).error().code == Errc::invalid);
    CHECK(!log->begin(uint64_t{1} << 46).ok());
    CHECK(log->end() == end);
    append(2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(whole(1, 4));
}

// The limit on the size of files stands in for a disk that refuses: no root is needed for it.
TEST_CASE_FIXTURE(LogFixture,
                  "log: when the disk refuses, the log is as before, and goes on later") {
    append(1);
    const FileSizeLimit limit(4096);
    int appended = 0;
    Result<RecordHeader> got = RecordHeader{};
    while ((got = try_append(1)).ok()) ++appended;
    // Finished records wait in the buffer; neither their writing nor a new segment is possible.
    CHECK(got.error().code == Errc::io);
    CHECK(!log->publish().ok());
    CHECK(!try_append(1).ok());
    CHECK(!try_append(3000).ok());
    CHECK(end_lsn() == 1);
    limit.lift();
    append(1);
    CHECK(end_lsn() == static_cast<uint64_t>(appended) + 2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(whole(1, static_cast<uint64_t>(appended) + 2));
}

TEST_CASE_FIXTURE(LogFixture, "log: a large record that the disk refuses half-way leaves nothing") {
    append(1);
    const Bytes payload = commit_payload(4000, 512, 3);
    REQUIRE(log->begin(payload.size()).ok());
    const FileSizeLimit limit(1 << 20);
    CHECK(!log->write(payload).ok());
    limit.lift();
    CHECK(log->finish(commit_header(4000)).error().code == Errc::invalid);
    append(2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(whole(1, 3));
}

TEST_CASE("log: a full disk is no_space, and space that comes back is used") {
    TempDir mount_point;
    SmallDisk disk(mount_point.root(), 256 << 10);
    if (!disk.is_mounted()) {
        MESSAGE("not tested: mounting needs root");
        return;
    }
    Result<std::unique_ptr<Log>> opened = Log::open(
        mount_point.path("log"), group_of(7), {.segment_bytes = 64 << 10, .bytes_max = 100 << 10});
    REQUIRE(opened.ok());
    Log& log = **opened;
    auto append = [&]() -> Status {
        TANIST_TRY(log.begin(520));
        TANIST_TRY(log.write(commit_payload(1, 512, 1)));
        Result<RecordHeader> done = log.finish(commit_header(1));
        if (!done.ok()) return done.error();
        return log.publish();
    };
    Status got = ok_status();
    while ((got = append()).ok()) REQUIRE(log.end().position.lsn.value < 1000);
    CHECK(got.error().code == Errc::no_space);
    const LogPoint end = log.end();
    REQUIRE(log.retain(Lsn(0), 0).ok());
    CHECK(append().ok());
    CHECK(log.end().position.lsn == end.position.lsn.next());
}

TEST_CASE_FIXTURE(LogFixture, "log: another thread can wait for the disk while appending goes on") {
    options.sync_later = true;
    REQUIRE(reopen());
    append(150);
    auto task = log->begin_sync(true);
    REQUIRE(task.ok());
    REQUIRE(task->has_value());
    CHECK(!(*log->begin_sync(true)).has_value());  // one at a time
    append(150);
    auto synced = log->end_sync(**task, (*task)->run());
    REQUIRE(synced.ok());
    CHECK(synced->value == 150);
    CHECK(log->sync()->position.lsn.value == 300);
    CHECK(!(*log->begin_sync(true)).has_value());
}

namespace {

// How many bytes of the file were written once, from its beginning on; all of them where the file
// system does not tell.
uint64_t written_bytes(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    const off_t hole = ::lseek(fd, 0, SEEK_HOLE);
    ::close(fd);
    return hole < 0 ? UINT64_MAX : static_cast<uint64_t>(hole);
}

}  // namespace

TEST_CASE_FIXTURE(LogFixture,
                  "log: a small sync leaves blocks for the next ones that were written") {
    options.segment_bytes = 4u << 20;
    REQUIRE(reopen());
    REQUIRE(log->reset({{Epoch(1), Lsn(1)}, {}}).ok());
    append(1);
    REQUIRE(log->sync().ok());
    CHECK(written_bytes(segment_path(2)) > 128u << 10);
    append(10);
    REQUIRE(log->sync().ok());
    REQUIRE(reopen());
    CHECK(end_lsn() == 12);
}

TEST_CASE_FIXTURE(LogFixture, "log: a sync of much writes nothing twice") {
    options.segment_bytes = 4u << 20;
    REQUIRE(reopen());
    REQUIRE(log->reset({{Epoch(1), Lsn(1)}, {}}).ok());
    append(300);
    REQUIRE(log->sync().ok());
    const uint64_t all = written_bytes(segment_path(2));
    CHECK((all == 4u << 20 || all == UINT64_MAX || all < 300u << 10));
}

TEST_CASE_FIXTURE(LogFixture, "log: sync returns what is durable") {
    append(2);
    REQUIRE(try_append(1).ok());
    Result<LogPoint> durable = log->sync();
    REQUIRE(durable.ok());
    CHECK(durable->position.lsn == Lsn(2));
}

TEST_CASE_FIXTURE(LogFixture, "log_reader: records are found in any order") {
    append(400);
    auto reader = log->reader();
    for (uint64_t lsn : {400, 1, 399, 2, 200, 199, 70, 71, 72, 65}) {
        Result<RecordHeader> header = reader->header_of(Lsn(lsn));
        REQUIRE(header.ok());
        CHECK(header->lsn == Lsn(lsn));
        CHECK(reader->payload(*header)->back() == static_cast<uint8_t>(lsn));
    }
}

TEST_CASE_FIXTURE(LogFixture, "log_reader: reads parts of the stored bytes") {
    append(1, 10);
    auto reader = log->reader();
    Bytes all(reader->header_of(Lsn(1))->record_bytes());
    REQUIRE(reader->read(Lsn(1), 0, all).ok());
    CHECK(decode_record_header(all)->lsn == Lsn(1));
    Bytes part(100);
    REQUIRE(reader->read(Lsn(1), 777, part).ok());
    CHECK(std::equal(part.begin(), part.end(), all.begin() + 777));
    CHECK(reader->read(Lsn(1), all.size() - 99, part).error().code == Errc::invalid);
}

TEST_CASE_FIXTURE(LogFixture,
                  "log_reader: a segment recycled under it is not found, never misread") {
    options.bytes_max = 1;
    REQUIRE(reopen());
    append(1);
    auto reader = log->reader();
    REQUIRE(reader->header_of(Lsn(1)).ok());
    for (int i = 0; i < 400; ++i) {
        append(1);
        REQUIRE(log->retain(Lsn(0), 0).ok());
    }
    Bytes part(64);
    CHECK(reader->read(Lsn(1), 0, part).error().code == Errc::not_found);
    CHECK(reader->header_of(Lsn(401)).ok());
}

TEST_CASE_FIXTURE(LogFixture, "log_reader: reset makes everything before it not found") {
    append(5);
    auto reader = log->reader();
    const RecordHeader old = *reader->header_of(Lsn(3));
    REQUIRE(log->reset({}).ok());
    CHECK(reader->header_of(Lsn(3)).error().code == Errc::not_found);
    append(4, 2);
    CHECK(reader->payload(old).error().code == Errc::not_found);
    CHECK(reader->header_of(Lsn(3))->page_count == 2);
}

TEST_CASE_FIXTURE(LogFixture, "log_reader: follows the tail from another thread") {
    options.bytes_max = 200 << 10;
    REQUIRE(reopen());
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> bad{0};
    std::atomic<uint64_t> seen{0};
    std::thread follower([&] {
        auto reader = log->reader();
        Chain chain;
        for (uint64_t lsn = 1; !stop || lsn <= end_lsn();) {
            Result<RecordHeader> header = reader->header_of(Lsn(lsn));
            if (!header.ok()) {
                if (header.error().code != Errc::not_found) ++bad;
                const uint64_t first = log->base().position.lsn.value + 1;
                if (lsn < first) {
                    lsn = first;
                    chain = {};
                }
                continue;
            }
            if (!chain.is_zero() && header->previous != chain) ++bad;
            Result<Bytes> payload = reader->payload(*header);
            if (!payload.ok() && payload.error().code != Errc::not_found) ++bad;
            chain = header->chain;
            ++lsn;
            ++seen;
        }
    });
    for (int i = 0; i < 2000; ++i) {
        append(1);
        if (i % 50 == 0) REQUIRE(log->retain(Lsn(0), 0).ok());
    }
    stop = true;
    follower.join();
    CHECK(bad == 0);
    CHECK(seen > 0);
}

TEST_CASE_FIXTURE(LogFixture, "walk_log: shows every record and how the log ends") {
    append(100);
    uint64_t lsn = 0;
    Result<LogWalk> walk = walk_log(log_dir(), nullptr, true,
                                    [&](const std::string&, uint64_t, const RecordHeader& header) {
                                        return header.lsn.value == ++lsn;
                                    });
    REQUIRE(walk.ok());
    CHECK(walk->records == 100);
    CHECK(walk->segments == log->stat().segments);
    CHECK(walk->end == log->end());
    CHECK(walk->group == group_of(7));
    CHECK(walk->tail == "clean");
}

TEST_CASE_FIXTURE(LogFixture,
                  "walk_log: with payloads checked, damage in an old segment is found") {
    append(300);
    flip_byte(1, kRecordsAt + kRecordHeaderBytes + 50);
    CHECK(walk_log(log_dir(), nullptr, false, {}).ok());
    CHECK(walk_log(log_dir(), nullptr, true, {}).error().code == Errc::corrupt);
}

}  // namespace tanist
