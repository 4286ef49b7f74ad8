#include "replicator/log/record.h"

#include <array>
#include <functional>

#include "replicator/base/hash.h"
#include "tests/unit/log/log_fixture.h"

namespace tanist {
namespace {

RecordHeader good_header() {
    RecordHeader h = commit_header(2);
    h.group = group_of(7);
    h.lsn = Lsn(5);
    h.previous.bytes.fill(3);
    h.payload_bytes = h.raw_bytes = raw_payload_bytes(2, 512);
    h.payload_hash.bytes.fill(9);
    return h;
}

std::array<uint8_t, kRecordHeaderBytes> sealed(RecordHeader h) {
    std::array<uint8_t, kRecordHeaderBytes> out;
    seal_record(h, out);
    return out;
}

// Changes one byte and repairs chain and checksum, as a later version would have written it.
Errc error_after(size_t offset, uint8_t value) {
    auto bytes = sealed(good_header());
    bytes[offset] = value;
    Hash128 chain = hash128(ByteView(bytes).first(168));
    std::copy(chain.bytes.begin(), chain.bytes.end(), bytes.begin() + 168);
    uint64_t sum = hash64(ByteView(bytes).first(184));
    for (size_t i = 0; i < 8; ++i) bytes[184 + i] = static_cast<uint8_t>(sum >> (8 * i));
    Result<RecordHeader> got = decode_record_header(bytes);
    REQUIRE(!got.ok());
    return got.error().code;
}

}  // namespace

TEST_CASE("record: what was sealed is decoded") {
    RecordHeader h = good_header();
    std::array<uint8_t, kRecordHeaderBytes> bytes;
    seal_record(h, bytes);
    Result<RecordHeader> got = decode_record_header(bytes);
    REQUIRE(got.ok());
    CHECK(*got == h);
    CHECK(!h.chain.is_zero());
}

TEST_CASE("record: a change of any bit of the header is found") {
    const auto bytes = sealed(good_header());
    for (size_t bit = 0; bit < kRecordHeaderBytes * 8; ++bit) {
        auto changed = bytes;
        changed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
        CHECK_MESSAGE(!decode_record_header(changed).ok(), "bit " << bit);
    }
}

TEST_CASE("record: a header that is cut is refused") {
    const auto bytes = sealed(good_header());
    for (size_t count = 0; count < bytes.size(); ++count) {
        CHECK(!decode_record_header(ByteView(bytes).first(count)).ok());
    }
}

TEST_CASE("record: zeros are no record") {
    std::array<uint8_t, kRecordHeaderBytes> zeros{};
    CHECK(!decode_record_header(zeros).ok());
}

TEST_CASE("record: a later version is refused with both numbers") {
    auto bytes = sealed(good_header());
    bytes[4] = 2;
    Result<RecordHeader> got = decode_record_header(bytes);
    REQUIRE(!got.ok());
    CHECK(got.error().code == Errc::version);
    CHECK(got.error().message.find("version 2") != std::string::npos);
    CHECK(got.error().message.find("up to 1") != std::string::npos);
}

TEST_CASE("record: unknown kinds, encodings and flags are of a later version") {
    CHECK(error_after(8, 5) == Errc::version);
    CHECK(error_after(9, 2) == Errc::version);
    CHECK(error_after(10, 1) == Errc::version);
}

TEST_CASE("record: reserved bytes must be zero") {
    CHECK(error_after(116, 1) == Errc::corrupt);
    for (size_t at = 152; at < 168; ++at) CHECK(error_after(at, 1) == Errc::corrupt);
}

TEST_CASE("record: why_invalid names every field that is wrong") {
    CHECK(why_invalid(good_header()) == "");
    const std::vector<std::pair<const char*, std::function<void(RecordHeader&)>>> cases = {
        {"kind", [](RecordHeader& h) { h.kind = RecordKind(0); }},
        {"kind", [](RecordHeader& h) { h.kind = RecordKind(5); }},
        {"encoding", [](RecordHeader& h) { h.encoding = Encoding::zstd; }},
        {"group", [](RecordHeader& h) { h.group = {}; }},
        {"epoch", [](RecordHeader& h) { h.epoch = Epoch(0); }},
        {"LSN", [](RecordHeader& h) { h.lsn = Lsn(0); }},
        {"previous", [](RecordHeader& h) { h.lsn = Lsn(1); }},
        {"subject", [](RecordHeader& h) { h.subject = Lsn(1); }},
        {"abort", [](RecordHeader& h) { h.kind = RecordKind::abort; }},
        {"page size", [](RecordHeader& h) { h.page_bytes = 0; }},
        {"page size", [](RecordHeader& h) { h.page_bytes = 256; }},
        {"page size", [](RecordHeader& h) { h.page_bytes = 1000; }},
        {"page size", [](RecordHeader& h) { h.page_bytes = 131072; }},
        {"no pages", [](RecordHeader& h) { h.page_count = 0; }},
        {"pages", [](RecordHeader& h) { h.page_count = 0xffffffff; }},
        {"database of", [](RecordHeader& h) { h.db_pages = 1; }},
        {"only a commit", [](RecordHeader& h) { h.kind = RecordKind::epoch; }},
        {"raw bytes", [](RecordHeader& h) { h.raw_bytes += 8; }},
        {"payload bytes", [](RecordHeader& h) { h.payload_bytes += 8; }},
    };
    for (const auto& [word, change] : cases) {
        RecordHeader h = good_header();
        change(h);
        CAPTURE(word);
        CHECK(why_invalid(h).find(word) != std::string::npos);
    }
}

TEST_CASE("record: images begin at a multiple of 8 behind the page list") {
    CHECK(page_image_offset(1, 512, 0) == 8);
    CHECK(page_image_offset(2, 512, 1) == 8 + 512);
    CHECK(page_image_offset(3, 4096, 2) == 16 + 2 * 4096);
    CHECK(raw_payload_bytes(0, 4096) == 0);
    CHECK(raw_payload_bytes(0xfffffffe, 65536) > uint64_t{1} << 47);
}

TEST_CASE("record: the page list is read back in its order") {
    RecordHeader h = good_header();
    Result<std::vector<Pgno>> pages = decode_page_list(h, commit_payload(2, 512, 1));
    REQUIRE(pages.ok());
    CHECK(*pages == std::vector<Pgno>{Pgno(1), Pgno(2)});
}

TEST_CASE("record: a page list with page 0, a page beyond the end, or one twice is refused") {
    RecordHeader h = good_header();
    auto refused = [&](uint32_t a, uint32_t b) {
        Bytes list;
        ByteWriter w(list);
        w.u32(a);
        w.u32(b);
        return !decode_page_list(h, list).ok();
    };
    CHECK(!refused(2, 1));
    CHECK(refused(0, 1));
    CHECK(refused(1, h.db_pages + 1));
    CHECK(refused(3, 3));
    CHECK(!decode_page_list(h, Bytes(7)).ok());
}

}  // namespace tanist
