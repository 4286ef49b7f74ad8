#include "replicator/log/record_form.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace tanist {
namespace {

constexpr uint64_t padded(uint64_t bytes) { return (bytes + 7) & ~uint64_t{7}; }

constexpr uint64_t chunks_of(uint64_t payload_bytes) {
    return (payload_bytes + kSealChunkBytes - 1) / kSealChunkBytes;
}

// What the seal of a head is bound to: its log, and the part of it that anybody can read.
Bytes bound_to(GroupId group, ByteView open) {
    Bytes bound;
    ByteWriter w(bound);
    w.from(group.bytes);
    bound.insert(bound.end(), open.begin(), open.end());
    return bound;
}

Error no_seal() {
    return {Errc::corrupt,
            "the record does not fit its seal: it was damaged, or changed by "
            "somebody without the key"};
}

}  // namespace

uint64_t RecordForm::stored_payload_bytes(uint64_t payload_bytes) const {
    return sealed() ? payload_bytes + chunks_of(payload_bytes) * kSealTagBytes : payload_bytes;
}

uint64_t RecordForm::stored_bytes(uint64_t payload_bytes) const {
    return head_bytes() + padded(stored_payload_bytes(payload_bytes));
}

Result<StoredHead> RecordForm::open_head(ByteView stored) const {
    StoredHead head;
    ByteView plain = stored;
    if (sealed()) {
        if (stored.size() < kSealedHeadBytes) {
            return Error{Errc::corrupt, "the file ends within a record's head"};
        }
        ByteReader in(stored);
        if (in.u32() != kSealedMagic) return Error{Errc::corrupt, "no sealed record starts here"};
        const uint16_t version = in.u16();
        if (version > kSealedVersion) {
            return Error{Errc::version, "sealed record version " + std::to_string(version) +
                                            " is not known; this Tanist knows up to " +
                                            std::to_string(kSealedVersion)};
        }
        if (in.u16() != kSealedHeadBytes) return no_seal();
        const Lsn lsn(in.u64());
        in.into(head.nonce.bytes);
        const ByteView open = stored.first(kSealedOpenBytes);
        const ByteView seal = stored.subspan(kSealedOpenBytes, kRecordHeaderBytes + kSealTagBytes);
        if (!cipher_->open(head.nonce, 0, bound_to(group_, open), seal, head.bytes)) {
            return no_seal();
        }
        plain = head.bytes;
        Result<RecordHeader> header = decode_record_header(plain);
        if (header.ok() && header->lsn != lsn) return no_seal();
    }
    Result<RecordHeader> header = decode_record_header(plain);
    if (!header.ok()) return std::move(header).error();
    head.header = *header;
    if (!sealed()) std::copy_n(plain.begin(), head.bytes.size(), head.bytes.begin());
    return head;
}

Status RecordForm::read_payload(const StoredRead& read, uint64_t record_at, const StoredHead& head,
                                uint64_t from, MutableBytes out) const {
    const auto exactly = [&](uint64_t offset, MutableBytes bytes) -> Status {
        Result<size_t> got = read(offset, bytes);
        if (!got.ok()) return std::move(got).error();
        if (*got == bytes.size()) return ok_status();
        return Error{Errc::corrupt, "the file ends within the record"};
    };
    const uint64_t payload_at = record_at + head_bytes();
    if (!sealed()) return exactly(payload_at + from, out);
    const uint64_t payload_bytes = head.header.payload_bytes;
    Bytes stored;
    Bytes plain;
    while (!out.empty()) {
        const uint64_t chunk = from / kSealChunkBytes;
        const uint64_t begin = chunk * kSealChunkBytes;
        const size_t bytes = static_cast<size_t>(std::min(kSealChunkBytes, payload_bytes - begin));
        stored.resize(bytes + kSealTagBytes);
        plain.resize(bytes);
        TANIST_TRY(exactly(payload_at + begin + chunk * kSealTagBytes, stored));
        if (!cipher_->open(head.nonce, chunk + 1, {}, stored, plain)) return no_seal();
        const size_t skip = static_cast<size_t>(from - begin);
        const size_t count = std::min(out.size(), bytes - skip);
        std::copy_n(plain.begin() + static_cast<ptrdiff_t>(skip), count, out.begin());
        out = out.subspan(count);
        from += count;
    }
    return ok_status();
}

void RecordForm::seal_head(const SealNonce& nonce, Lsn lsn, ByteView header,
                           MutableBytes out) const {
    assert(header.size() == kRecordHeaderBytes && out.size() == kSealedHeadBytes);
    Bytes open;
    ByteWriter w(open);
    w.u32(kSealedMagic);
    w.u16(kSealedVersion);
    w.u16(kSealedHeadBytes);
    w.u64(lsn.value);
    w.from(nonce.bytes);
    std::copy(open.begin(), open.end(), out.begin());
    cipher_->seal(nonce, 0, bound_to(group_, open), header, out.subspan(kSealedOpenBytes));
}

void RecordForm::seal_chunk(const SealNonce& nonce, uint64_t chunk, ByteView plain,
                            Bytes& out) const {
    const size_t before = out.size();
    out.resize(before + plain.size() + kSealTagBytes);
    cipher_->seal(nonce, chunk + 1, {}, plain, MutableBytes(out).subspan(before));
}

}  // namespace tanist
