// Encryption of a log's records, and of a delta sync's pages, at rest: XChaCha20-Poly1305
// (libsodium) under a key of the log's own. Each record is sealed by itself, in parts that can be
// opened apart: its head, and its payload in chunks. Format: docs/log-format.md, "Sealed records".
// Why so: docs/decisions/0008.
//
// A nonce is drawn at random for each writing of a record, so a place of a segment that is written
// again never meets the same key stream. The key is wiped from memory with the object. Thread rule:
// none, it does not change.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "replicator/base/bytes.h"
#include "replicator/base/ids.h"
#include "replicator/base/keys.h"

namespace tanist {

constexpr size_t kSealTagBytes = 16;
constexpr uint64_t kSealChunkBytes = 65536;  // of payload; the last chunk of a record is shorter

struct SealNonce {
    std::array<uint8_t, 16> bytes{};
};

class LogCipher {
  public:
    explicit LogCipher(const LogKey& key);
    LogCipher(const LogCipher&) = delete;
    LogCipher& operator=(const LogCipher&) = delete;
    ~LogCipher();

    // Names the key without telling anything about it.
    uint64_t id() const { return id_; }

    // Part 0 is the head, part n the payload's n-th chunk, or a page's number. `bound` is not
    // hidden and cannot be changed either. Requires: out.size() == plain.size() + kSealTagBytes.
    void seal(const SealNonce& nonce, uint64_t part, ByteView bound, ByteView plain,
              MutableBytes out) const;
    // False: not what was sealed under this key. Requires: as above, the other way round.
    bool open(const SealNonce& nonce, uint64_t part, ByteView bound, ByteView sealed,
              MutableBytes out) const;

  private:
    LogKey key_;
    uint64_t id_ = 0;
};

}  // namespace tanist
