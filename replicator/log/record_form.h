// How records stand in a segment: as they are on the wire ("plain"), or sealed by a LogCipher.
// Format: docs/log-format.md, "Sealed records". Pure but for the nonce it is given.
//
// A form is a value that is copied freely; its cipher is shared and does not change.
#pragma once

#include <functional>
#include <memory>

#include "replicator/base/log_cipher.h"
#include "replicator/log/record.h"

namespace tanist {

constexpr uint32_t kSealedMagic = 0x5253'4E54;  // "TNSR"
constexpr uint16_t kSealedVersion = 1;
// Magic, version, length, LSN and nonce; then the record's header and its tag.
constexpr size_t kSealedOpenBytes = 32;
constexpr size_t kSealedHeadBytes = kSealedOpenBytes + kRecordHeaderBytes + kSealTagBytes;

// A record's head as it was read, opened.
struct StoredHead {
    RecordHeader header;
    std::array<uint8_t, kRecordHeaderBytes> bytes{};  // as on the wire
    SealNonce nonce;                                  // zeros when plain
};

// Reads stored bytes of the segment; fewer than asked only at the end.
using StoredRead = std::function<Result<size_t>(uint64_t offset, MutableBytes out)>;

class RecordForm {
  public:
    RecordForm() = default;  // plain
    RecordForm(std::shared_ptr<const LogCipher> cipher, GroupId group)
        : cipher_(std::move(cipher)), group_(group) {}

    bool sealed() const { return cipher_ != nullptr; }
    uint64_t key_id() const { return sealed() ? cipher_->id() : 0; }
    uint32_t magic() const { return sealed() ? kSealedMagic : kRecordMagic; }
    size_t head_bytes() const { return sealed() ? kSealedHeadBytes : kRecordHeaderBytes; }
    // Of the payload alone, without padding.
    uint64_t stored_payload_bytes(uint64_t payload_bytes) const;
    // Head and payload, padded to a multiple of 8.
    uint64_t stored_bytes(uint64_t payload_bytes) const;

    // corrupt and version as decode_record_header(); corrupt also when the seal does not fit.
    // Requires: head_bytes() bytes, or what is left of the segment.
    Result<StoredHead> open_head(ByteView stored) const;
    // Payload bytes [from, from + out.size()) of the record whose head is at `record_at`.
    Status read_payload(const StoredRead& read, uint64_t record_at, const StoredHead& head,
                        uint64_t from, MutableBytes out) const;

    // -- sealing. Requires: sealed().
    void seal_head(const SealNonce& nonce, Lsn lsn, ByteView header, MutableBytes out) const;
    // Appends to `out` the chunk with this number, from 0.
    void seal_chunk(const SealNonce& nonce, uint64_t chunk, ByteView plain, Bytes& out) const;

  private:
    std::shared_ptr<const LogCipher> cipher_;
    GroupId group_;
};

}  // namespace tanist
