#include "replicator/log/record.h"

#include <algorithm>

#include "replicator/base/hash.h"
#include "replicator/base/limits.h"

namespace tanist {
namespace {

// The offset table of docs/log-format.md, "Record header"; tests/unit/log compares the two.
constexpr size_t kChainAt = 168;
constexpr size_t kChecksumAt = 184;
constexpr size_t kReservedBytes = 16;
static_assert(kChecksumAt + 8 == kRecordHeaderBytes);

// Encodes in place: sealing is on the path of every commit and must not allocate.
class HeaderWriter {
  public:
    explicit HeaderWriter(std::span<uint8_t, kRecordHeaderBytes> out) : out_(out) {}
    void integer(uint64_t v, size_t count) {
        for (size_t i = 0; i < count; ++i) out_[at_++] = static_cast<uint8_t>(v >> (8 * i));
    }
    template <size_t N>
    void raw(const std::array<uint8_t, N>& bytes) {
        std::memcpy(out_.data() + at_, bytes.data(), N);
        at_ += N;
    }
    void zeros(size_t count) {
        std::memset(out_.data() + at_, 0, count);
        at_ += count;
    }

  private:
    std::span<uint8_t, kRecordHeaderBytes> out_;
    size_t at_ = 0;
};

Error version_error(const char* what, uint64_t found, uint64_t known) {
    return {Errc::version, std::string("record ") + what + " " + std::to_string(found) +
                               " is not known; this Tanist knows up to " + std::to_string(known)};
}

bool is_page_size(uint32_t bytes) {
    return bytes >= limits::kPageBytesMin && bytes <= limits::kPageBytesMax &&
           (bytes & (bytes - 1)) == 0;
}

std::string why_pages_invalid(const RecordHeader& h) {
    if (h.kind == RecordKind::commit) {
        if (!is_page_size(h.page_bytes)) {
            return "page size " + std::to_string(h.page_bytes) + " is not one of SQLite's";
        }
        if (h.page_count == 0) return "a commit has no pages";
        if (h.page_count > limits::kRecordPagesMax) return "a commit has too many pages";
        if (h.page_count > h.db_pages) {
            return std::to_string(h.page_count) + " pages in a database of " +
                   std::to_string(h.db_pages);
        }
    } else {
        if (h.page_bytes != 0 && !is_page_size(h.page_bytes)) {
            return "page size " + std::to_string(h.page_bytes) + " is not one of SQLite's";
        }
        if (h.page_count != 0) return "only a commit has pages";
    }
    if (h.raw_bytes != raw_payload_bytes(h.page_count, h.page_bytes)) {
        return "raw bytes " + std::to_string(h.raw_bytes) + " do not fit the page count";
    }
    if (h.encoding == Encoding::raw && h.payload_bytes != h.raw_bytes) {
        return "payload bytes " + std::to_string(h.payload_bytes) + " differ from raw bytes";
    }
    return {};
}

// Reads the fields between the prefix and the chain.
RecordHeader read_fields(ByteReader& in, uint16_t& flags, bool& reserved_zero) {
    RecordHeader h;
    h.kind = static_cast<RecordKind>(in.u8());
    h.encoding = static_cast<Encoding>(in.u8());
    flags = in.u16();
    h.database = in.u32();
    in.into(h.group.bytes);
    h.epoch = Epoch(in.u64());
    h.lsn = Lsn(in.u64());
    h.subject = Lsn(in.u64());
    in.into(h.previous.bytes);
    h.commit_time_ns = in.i64();
    h.page_bytes = in.u32();
    h.db_pages = in.u32();
    h.page_count = in.u32();
    for (uint32_t* field : {&h.wal.salt1, &h.wal.salt2, &h.wal.frame, &h.wal.change,
                            &h.wal.checksum_a, &h.wal.checksum_b}) {
        *field = in.u32();
    }
    reserved_zero = in.u32() == 0;
    h.payload_bytes = in.u64();
    h.raw_bytes = in.u64();
    in.into(h.payload_hash.bytes);
    for (uint8_t byte : in.raw(kReservedBytes)) reserved_zero = reserved_zero && byte == 0;
    in.into(h.chain.bytes);
    return h;
}

}  // namespace

uint64_t raw_payload_bytes(uint32_t page_count, uint32_t page_bytes) {
    return page_image_offset(page_count, page_bytes, page_count);
}

uint64_t page_image_offset(uint32_t page_count, uint32_t page_bytes, uint32_t index) {
    const uint64_t list_bytes = (uint64_t{page_count} * 4 + 7) & ~uint64_t{7};
    return list_bytes + uint64_t{index} * page_bytes;
}

void seal_record(RecordHeader& h, std::span<uint8_t, kRecordHeaderBytes> out) {
    HeaderWriter w(out);
    w.integer(kRecordMagic, 4);
    w.integer(kRecordVersion, 2);
    w.integer(kRecordHeaderBytes, 2);
    w.integer(static_cast<uint8_t>(h.kind), 1);
    w.integer(static_cast<uint8_t>(h.encoding), 1);
    w.integer(0, 2);
    w.integer(h.database, 4);
    w.raw(h.group.bytes);
    w.integer(h.epoch.value, 8);
    w.integer(h.lsn.value, 8);
    w.integer(h.subject.value, 8);
    w.raw(h.previous.bytes);
    w.integer(static_cast<uint64_t>(h.commit_time_ns), 8);
    w.integer(h.page_bytes, 4);
    w.integer(h.db_pages, 4);
    w.integer(h.page_count, 4);
    for (uint32_t field : {h.wal.salt1, h.wal.salt2, h.wal.frame, h.wal.change, h.wal.checksum_a,
                           h.wal.checksum_b}) {
        w.integer(field, 4);
    }
    w.integer(0, 4);
    w.integer(h.payload_bytes, 8);
    w.integer(h.raw_bytes, 8);
    w.raw(h.payload_hash.bytes);
    w.zeros(kReservedBytes);
    h.chain.bytes = hash128(out.first(kChainAt)).bytes;
    w.raw(h.chain.bytes);
    w.integer(hash64(out.first(kChecksumAt)), 8);
}

Result<RecordHeader> decode_record_header(ByteView bytes) {
    if (bytes.size() < kRecordHeaderBytes) {
        return Error{Errc::corrupt, "a record header needs " + std::to_string(kRecordHeaderBytes) +
                                        " bytes, there are " + std::to_string(bytes.size())};
    }
    bytes = bytes.first(kRecordHeaderBytes);
    ByteReader in(bytes);
    if (in.u32() != kRecordMagic) return Error{Errc::corrupt, "no record starts here"};
    const uint16_t version = in.u16();
    if (version > kRecordVersion) return version_error("version", version, kRecordVersion);
    if (version == 0 || in.u16() != kRecordHeaderBytes) {
        return Error{Errc::corrupt, "the record header's length or version is wrong"};
    }
    ByteReader check(bytes.subspan(kChecksumAt));
    if (check.u64() != hash64(bytes.first(kChecksumAt))) {
        return Error{Errc::corrupt, "the record header does not fit its checksum"};
    }
    uint16_t flags = 0;
    bool reserved_zero = true;
    RecordHeader h = read_fields(in, flags, reserved_zero);
    if (h.kind > RecordKind::rebase) return version_error("kind", static_cast<uint8_t>(h.kind), 4);
    if (h.encoding > Encoding::raw) {
        return version_error("encoding", static_cast<uint8_t>(h.encoding), 1);
    }
    if (flags != 0) return version_error("flags", flags, 0);
    if (!reserved_zero) return Error{Errc::corrupt, "reserved bytes of a record are not zero"};
    if (h.chain.bytes != hash128(bytes.first(kChainAt)).bytes) {
        return Error{Errc::corrupt, "the record header does not fit its chain"};
    }
    if (std::string why = why_invalid(h); !why.empty()) return Error{Errc::corrupt, why};
    return h;
}

std::string why_invalid(const RecordHeader& h) {
    if (h.kind < RecordKind::commit || h.kind > RecordKind::rebase) {
        return "record kind " + std::to_string(static_cast<int>(h.kind)) + " does not exist";
    }
    if (h.encoding != Encoding::raw) {
        return "encoding " + std::to_string(static_cast<int>(h.encoding)) + " is not in use";
    }
    if (h.group.is_zero()) return "the record names no group";
    if (h.epoch.value == 0) return "the record has epoch 0";
    if (h.lsn.value == 0) return "the record has LSN 0";
    if (h.kind == RecordKind::abort && (h.subject.value == 0 || h.subject >= h.lsn)) {
        return "an abort must name an earlier record";
    }
    if (h.kind != RecordKind::abort && h.subject.value != 0) return "only an abort has a subject";
    if (h.lsn.value == 1 && !h.previous.is_zero()) return "the first record has a previous chain";
    return why_pages_invalid(h);
}

Result<std::vector<Pgno>> decode_page_list(const RecordHeader& header, ByteView payload) {
    if (payload.size() / 4 < header.page_count) {
        return Error{Errc::corrupt,
                     "the page list of LSN " + std::to_string(header.lsn.value) + " is cut short"};
    }
    ByteReader in(payload);
    std::vector<Pgno> pages;
    pages.reserve(header.page_count);
    bool ascending = true;
    for (uint32_t i = 0; i < header.page_count; ++i) {
        const Pgno page(in.u32());
        if (page.value == 0 || page.value > header.db_pages) {
            return Error{Errc::corrupt, "LSN " + std::to_string(header.lsn.value) + " has page " +
                                            std::to_string(page.value) + " of a database of " +
                                            std::to_string(header.db_pages)};
        }
        ascending = ascending && (pages.empty() || pages.back() < page);
        pages.push_back(page);
    }
    if (ascending) return pages;
    std::vector<Pgno> sorted = pages;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        return Error{Errc::corrupt,
                     "LSN " + std::to_string(header.lsn.value) + " has a page twice"};
    }
    return pages;
}

}  // namespace tanist
