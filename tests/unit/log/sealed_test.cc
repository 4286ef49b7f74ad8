// A log that is encrypted at rest: docs/log-format.md, "Sealed records".
#include <algorithm>
#include <filesystem>

#include "replicator/base/hash.h"
#include "replicator/log/record_form.h"
#include "tests/unit/log/log_fixture.h"

namespace tanist {
namespace {

std::shared_ptr<const LogCipher> cipher_of(uint8_t seed) {
    LogKey key;
    key.bytes.fill(seed);
    return std::make_shared<const LogCipher>(key);
}

bool contains(const Bytes& bytes, const Bytes& part) {
    return std::search(bytes.begin(), bytes.end(), part.begin(), part.end()) != bytes.end();
}

struct SealedLog : LogFixture {
    SealedLog() {
        REQUIRE(reset_files());
        options.cipher = cipher_of(1);
        options.seal = true;
        REQUIRE(reopen());
    }
    bool reset_files() {
        log.reset();
        std::filesystem::remove_all(log_dir());
        return true;
    }
    // Whether any file of the log shows an image of the record with this LSN.
    bool shows(uint64_t lsn) const {
        const Bytes image(64, static_cast<uint8_t>(lsn));
        for (const auto& file : std::filesystem::directory_iterator(log_dir())) {
            if (contains(*read_file(file.path().string(), 1 << 26), image)) return true;
        }
        return false;
    }
    // Records as they go on the wire.
    Bytes wire(uint64_t from, uint64_t to, size_t bytes_max = 1 << 24) {
        Bytes out;
        auto reader = log->reader();
        for (Lsn lsn(from); lsn <= Lsn(to);) {
            Result<LogReader::Run> run = reader->read_run(lsn, Lsn(to), bytes_max, out);
            REQUIRE(run.ok());
            REQUIRE(run->bytes > 0);
            lsn = run->through.next();
        }
        return out;
    }
};

TEST_CASE_FIXTURE(SealedLog, "sealed log: what was appended is there after opening again") {
    append(400);
    append(1, 5000);  // more than a write buffer, and many chunks
    append(2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(log->stat().segments > 3);
    CHECK(whole(1, 403));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: no page can be read in its files") {
    append(40, 3);
    append(1, 5000);
    CHECK(!shows(7));
    CHECK(!shows(41));
    options.seal = false;
    REQUIRE(reopen());
    append(1);
    CHECK(shows(42));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: on the wire it is the same as a plain one") {
    LogFixture plain;
    for (LogFixture* each : {static_cast<LogFixture*>(this), &plain}) {
        each->append(5);
        each->append(1, 700);
    }
    Bytes expected;
    REQUIRE(plain.log->reader()->read_run(Lsn(1), Lsn(5), 1 << 20, expected).ok());
    CHECK(wire(1, 5) == expected);
    CHECK(wire(1, 5, 2000) == expected);
    CHECK(log->end() == plain.log->end());
    Bytes part(333);
    Bytes expected_part(333);
    for (uint64_t offset : {0ull, 150ull, 191ull, 65536ull, 100'000ull, 300'000ull}) {
        REQUIRE(log->reader()->read(Lsn(6), offset, part).ok());
        REQUIRE(plain.log->reader()->read(Lsn(6), offset, expected_part).ok());
        CHECK_MESSAGE(part == expected_part, offset);
    }
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: without its key it is refused and left alone") {
    append(3);
    options.cipher = nullptr;
    options.seal = false;
    CHECK(!reopen());
    CHECK(code == Errc::refused);
    CHECK(error.find("no key is here") != std::string::npos);
    options.cipher = cipher_of(2);
    CHECK(!reopen());
    CHECK(error.find("the key here is") != std::string::npos);
    options.cipher = cipher_of(1);
    REQUIRE(reopen());
    CHECK(whole(1, 3));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: a plain log is sealed from its next record on") {
    options.seal = false;
    reset_files();
    REQUIRE(reopen());
    append(3);
    options.seal = true;
    REQUIRE(reopen());
    append(3);
    CHECK(whole(1, 6));
    CHECK(shows(3));
    CHECK(!shows(4));
    REQUIRE(reopen());
    CHECK(whole(1, 6));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: an empty plain log becomes a sealed one") {
    options.seal = false;
    reset_files();
    REQUIRE(reopen());
    options.seal = true;
    REQUIRE(reopen());
    append(1);
    CHECK(!shows(1));
    REQUIRE(reopen());
    CHECK(whole(1, 1));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: plain segments are not kept to be used again") {
    options.seal = false;
    reset_files();
    REQUIRE(reopen());
    append(400);
    options.seal = true;
    REQUIRE(reopen());
    append(1);
    REQUIRE(log->sync().ok());
    REQUIRE(log->retain(Lsn(401), 0).ok());
    CHECK(!shows(7));
    CHECK(!shows(400));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: its own segments are used again") {
    append(400);
    REQUIRE(log->sync().ok());
    REQUIRE(log->retain(Lsn(400), 0).ok());
    append(400);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(whole(400, 800));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: a reset begins a sealed segment") {
    append(3);
    REQUIRE(log->reset({{Epoch(1), Lsn(9)}, {}}).ok());
    append(1);
    CHECK(!shows(10));
    REQUIRE(reopen());
    CHECK(whole(10, 10));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: an abandoned large record leaves nothing") {
    append(1);
    REQUIRE(log->begin(2 << 20).ok());
    REQUIRE(log->write(Bytes(1 << 20, 5)).ok());
    log->abandon();
    append(2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(whole(1, 3));
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: a torn last record is cut") {
    append(3);
    RecordForm form(options.cipher, group_of(7));
    const uint64_t record = form.stored_bytes(commit_payload(1, 512, 0).size());
    flip_byte(1, kRecordsAt + 2 * record + kSealedHeadBytes + 100);
    change_boot(1, 2);
    REQUIRE_MESSAGE(reopen(), error);
    CHECK(end_lsn() == 2);
    CHECK(log->recovery().torn_bytes > 0);
    append(1);
    REQUIRE(reopen());
    CHECK(whole(1, 3));
}

// Nothing that the head's seal binds can be changed either.
TEST_CASE_FIXTURE(SealedLog, "sealed log: every changed byte of a record is noticed") {
    append(1);
    append(1);
    RecordForm form(options.cipher, group_of(7));
    const uint64_t record = form.stored_bytes(commit_payload(1, 512, 0).size());
    for (uint64_t at = 0; at < record; ++at) {
        flip_byte(1, kRecordsAt + at);
        CHECK_MESSAGE(!walk_log(log_dir(), options.cipher, true, {}).ok(), at);
        flip_byte(1, kRecordsAt + at);
    }
    CHECK(walk_log(log_dir(), options.cipher, true, {})->records == 2);
}

TEST_CASE_FIXTURE(SealedLog, "sealed log: the same record is never sealed twice alike") {
    append(1);
    const Bytes first = *read_file(segment_path(1), 1 << 20);
    reset_files();
    REQUIRE(reopen());
    append(1);
    const Bytes second = *read_file(segment_path(1), 1 << 20);
    const auto differ = std::mismatch(first.begin() + kRecordsAt + kSealedHeadBytes, first.end(),
                                      second.begin() + kRecordsAt + kSealedHeadBytes);
    CHECK(differ.first < first.begin() + kRecordsAt + kSealedHeadBytes + 8);
}

}  // namespace
}  // namespace tanist
