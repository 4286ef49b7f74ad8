// The format page, the golden files and the code say the same.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "replicator/log/record_form.h"
#include "replicator/log/recovery.h"
#include "tests/unit/log/log_fixture.h"

namespace tanist {
namespace {

const std::string kSource = TANIST_SOURCE_DIR;
const std::string kGolden = kSource + "/tests/golden/v1";

struct Row {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    std::string field;
};

// The offset table of one section of the page.
std::vector<Row> table_of(const std::string& section) {
    std::ifstream page(kSource + "/docs/log-format.md");
    std::vector<Row> rows;
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("## ")) inside = line == "## " + section;
        if (!inside || !line.starts_with("| ") ||
            !std::isdigit(static_cast<unsigned char>(line[2])))
            continue;
        std::istringstream cells(line);
        std::string cell;
        Row row;
        std::getline(cells, cell, '|');
        std::getline(cells, cell, '|');
        row.offset = std::stoull(cell);
        std::getline(cells, cell, '|');
        if (cell.find_first_of("0123456789") != std::string::npos) row.bytes = std::stoull(cell);
        std::getline(cells, cell, '|');
        row.field = cell.substr(1, cell.size() - 2);
        rows.push_back(row);
    }
    return rows;
}

void check_gapless(const std::vector<Row>& rows, uint64_t end) {
    uint64_t at = 0;
    for (const Row& row : rows) {
        CHECK_MESSAGE(row.offset == at, row.field);
        at = row.offset + row.bytes;
    }
    CHECK(at == end);
}

// Where a change of one field changes the bytes before the chain.
std::pair<uint64_t, uint64_t> changed_range(const std::function<void(RecordHeader&)>& change) {
    RecordHeader plain;
    plain.kind = RecordKind(0);
    plain.encoding = Encoding(0);
    RecordHeader other = plain;
    change(other);
    std::array<uint8_t, kRecordHeaderBytes> a{};
    std::array<uint8_t, kRecordHeaderBytes> b{};
    seal_record(plain, a);
    seal_record(other, b);
    uint64_t from = 0;
    while (a[from] == b[from]) ++from;
    uint64_t to = from;
    while (to < 168 && a[to] != b[to]) ++to;
    return {from, to - from};
}

uint64_t ones() { return ~uint64_t{0}; }

const std::map<std::string, std::function<void(RecordHeader&)>>& record_fields() {
    static const std::map<std::string, std::function<void(RecordHeader&)>> fields = {
        {"kind", [](RecordHeader& h) { h.kind = RecordKind(0xff); }},
        {"encoding", [](RecordHeader& h) { h.encoding = Encoding(0xff); }},
        {"database", [](RecordHeader& h) { h.database = static_cast<uint32_t>(ones()); }},
        {"group", [](RecordHeader& h) { h.group.bytes.fill(0xff); }},
        {"epoch", [](RecordHeader& h) { h.epoch.value = ones(); }},
        {"LSN", [](RecordHeader& h) { h.lsn.value = ones(); }},
        {"subject", [](RecordHeader& h) { h.subject.value = ones(); }},
        {"previous chain", [](RecordHeader& h) { h.previous.bytes.fill(0xff); }},
        {"commit time", [](RecordHeader& h) { h.commit_time_ns = -1; }},
        {"page bytes", [](RecordHeader& h) { h.page_bytes = static_cast<uint32_t>(ones()); }},
        {"database pages", [](RecordHeader& h) { h.db_pages = static_cast<uint32_t>(ones()); }},
        {"page count", [](RecordHeader& h) { h.page_count = static_cast<uint32_t>(ones()); }},
        {"WAL salt 1", [](RecordHeader& h) { h.wal.salt1 = static_cast<uint32_t>(ones()); }},
        {"WAL salt 2", [](RecordHeader& h) { h.wal.salt2 = static_cast<uint32_t>(ones()); }},
        {"WAL frame", [](RecordHeader& h) { h.wal.frame = static_cast<uint32_t>(ones()); }},
        {"WAL change", [](RecordHeader& h) { h.wal.change = static_cast<uint32_t>(ones()); }},
        {"WAL checksum a",
         [](RecordHeader& h) { h.wal.checksum_a = static_cast<uint32_t>(ones()); }},
        {"WAL checksum b",
         [](RecordHeader& h) { h.wal.checksum_b = static_cast<uint32_t>(ones()); }},
        {"payload bytes", [](RecordHeader& h) { h.payload_bytes = ones(); }},
        {"raw bytes", [](RecordHeader& h) { h.raw_bytes = ones(); }},
        {"payload hash", [](RecordHeader& h) { h.payload_hash.bytes.fill(0xff); }},
    };
    return fields;
}

// The log that the golden files hold; every field has a fixed value.
void write_golden_log(Log& log) {
    RecordHeader epoch;
    epoch.kind = RecordKind::epoch;
    epoch.epoch = Epoch(1);
    epoch.commit_time_ns = 1'700'000'000'000'000'000;
    REQUIRE(log.begin(0).ok());
    REQUIRE(log.finish(epoch).ok());
    for (uint32_t pages : {1, 3}) {
        const Bytes payload = commit_payload(pages, 512, static_cast<uint8_t>(0xa0 + pages));
        REQUIRE(log.begin(payload.size()).ok());
        REQUIRE(log.write(payload).ok());
        REQUIRE(log.finish(commit_header(pages)).ok());
    }
    REQUIRE(log.publish().ok());
}

}  // namespace

TEST_CASE("log format: the page's record table is the code's") {
    const std::vector<Row> rows = table_of("Record header");
    check_gapless(rows, kRecordHeaderBytes);
    size_t compared = 0;
    for (const Row& row : rows) {
        auto field = record_fields().find(row.field);
        if (field == record_fields().end()) continue;
        CAPTURE(row.field);
        CHECK(changed_range(field->second) == std::pair(row.offset, row.bytes));
        ++compared;
    }
    CHECK(compared == record_fields().size());
}

TEST_CASE("log format: the page's segment table is the code's") {
    std::vector<Row> rows = table_of("Segment");
    check_gapless(rows, kRecordsAt);
    SegmentHeader header;
    header.group = group_of(0x11);
    header.previous = {{Epoch(0x2222222222222222), Lsn(0x3333333333333332)}, {}};
    header.previous.chain.bytes.fill(0x44);
    header.sealed_by = 0x9999999999999999;
    std::array<uint8_t, kRecordsAt> bytes{};
    seal_segment(header, std::span(bytes).first<kSegmentHeaderBytes>());
    BootId boot;
    boot.bytes.fill(0x55);
    seal_mark({boot, Lsn(0x6666666666666666)}, std::span(bytes).subspan<kMarkAt, kMarkBytes>());
    boot.bytes.fill(0x77);
    seal_mark({boot, Lsn(0x8888888888888888)},
              std::span(bytes).subspan<kMarkAt + kMarkBytes, kMarkBytes>());
    const std::map<std::string, uint8_t> values = {{"group", 0x11},
                                                   {"previous epoch", 0x22},
                                                   {"first LSN", 0x33},
                                                   {"previous chain", 0x44},
                                                   {"mark: boot id", 0x55},
                                                   {"mark: durable LSN", 0x66},
                                                   {"other mark: boot id", 0x77},
                                                   {"other mark: durable LSN", 0x88},
                                                   {"key", 0x99},
                                                   {"reserved", 0}};
    for (const Row& row : rows) {
        auto value = values.find(row.field);
        if (value == values.end()) continue;
        for (uint64_t i = 0; i < row.bytes; ++i) {
            CHECK_MESSAGE(bytes[row.offset + i] == value->second, row.field);
        }
    }
    CHECK(*decode_segment_header(bytes) == header);
}

TEST_CASE("log format: the page's table of sealed records is the code's") {
    const std::vector<Row> rows = table_of("Sealed records");
    check_gapless(rows, kSealedHeadBytes);
    const RecordForm form(std::make_shared<const LogCipher>(LogKey{}), group_of(1));
    SealNonce nonce;
    nonce.bytes.fill(0x22);
    Bytes head(kSealedHeadBytes);
    form.seal_head(nonce, Lsn(0x3333333333333333), Bytes(kRecordHeaderBytes), head);
    const std::map<std::string, Bytes> values = {{"magic", {'T', 'N', 'S', 'R'}},
                                                 {"version", {1, 0}},
                                                 {"head bytes", {240, 0}},
                                                 {"LSN", Bytes(8, 0x33)},
                                                 {"nonce", Bytes(16, 0x22)}};
    for (const Row& row : rows) {
        auto value = values.find(row.field);
        if (value == values.end()) continue;
        const ByteView found = ByteView(head).subspan(row.offset, row.bytes);
        CHECK_MESSAGE(std::equal(found.begin(), found.end(), value->second.begin()), row.field);
    }
}

// Its nonces are random: it is written once and read for ever.
TEST_CASE("log format: the golden sealed log of version 1 is read") {
    LogKey key;
    key.bytes.fill(9);
    LogFixture fixture;
    fixture.options.cipher = std::make_shared<const LogCipher>(key);
    const std::string name = "/00000000000000000001.log";
    if (std::getenv("TANIST_REWRITE_GOLDEN") != nullptr) {
        fixture.log.reset();
        std::filesystem::remove_all(fixture.log_dir());
        fixture.options.segment_bytes = 4096;
        fixture.options.seal = true;
        REQUIRE(fixture.reopen());
        write_golden_log(*fixture.log);
        Bytes written = *read_file(fixture.segment_path(1), 1 << 20);
        std::fill(written.begin() + kMarkAt, written.begin() + kRecordsAt, uint8_t{0});
        REQUIRE(replace_file(kGolden + "-sealed" + name, written).ok());
    }
    Result<LogWalk> sealed = walk_log(kGolden + "-sealed", fixture.options.cipher, true, {});
    REQUIRE(sealed.ok());
    CHECK(sealed->records == 3);
    CHECK(sealed->end == walk_log(kGolden, nullptr, true, {})->end);
}

TEST_CASE("log format: a segment header with any bit changed is refused") {
    std::array<uint8_t, kSegmentHeaderBytes> bytes{};
    seal_segment({group_of(1), {}}, bytes);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        auto changed = bytes;
        changed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
        CHECK(!decode_segment_header(changed).ok());
    }
}

// TANIST_REWRITE_GOLDEN=1 writes the files anew: only together with a new format version.
TEST_CASE("log format: the golden log of version 1 is read, and written the same") {
    LogFixture fixture;
    fixture.log.reset();
    std::filesystem::remove_all(fixture.log_dir());
    fixture.options.segment_bytes = 4096;
    REQUIRE(fixture.reopen());
    write_golden_log(*fixture.log);
    Bytes written = *read_file(fixture.segment_path(1), 1 << 20);
    // The boot id is of this machine; without a mark the rest has fixed bytes.
    std::fill(written.begin() + kMarkAt, written.begin() + kRecordsAt, uint8_t{0});
    const std::string name = "/00000000000000000001.log";
    if (std::getenv("TANIST_REWRITE_GOLDEN") != nullptr) {
        REQUIRE(replace_file(kGolden + name, written).ok());
    }
    Result<Bytes> golden = read_file(kGolden + name, 1 << 20);
    REQUIRE(golden.ok());
    CHECK(*golden == written);
    std::vector<RecordHeader> seen;
    Result<LogWalk> walk = walk_log(kGolden, nullptr, true,
                                    [&](const std::string&, uint64_t, const RecordHeader& header) {
                                        seen.push_back(header);
                                        return true;
                                    });
    REQUIRE(walk.ok());
    CHECK(walk->group == group_of(7));
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].kind == RecordKind::epoch);
    CHECK(seen[1].wal == WalPoint{1, 2, 3, 4, 5, 6});
    CHECK(seen[2].page_count == 3);
    CHECK(seen[2].db_pages == 13);
    CHECK(to_string(seen[2].chain) == to_string(fixture.log->end().chain));
}

}  // namespace tanist
