// Signatures for the simulator: a keyed hash that everybody can check. Fast, and no proof of
// anything; Ed25519 itself is tested with the adapter.
#pragma once

#include "failover/core/token.h"
#include "replicator/base/hash.h"

namespace tanist::sim {

inline NodeKey key_of(int number) {
    NodeKey key;
    key.bytes.fill(static_cast<uint8_t>(number + 1));
    return key;
}

class SimSigner final : public failover::Signer {
  public:
    explicit SimSigner(int number) : self_(key_of(number)) {}
    NodeKey self() const override { return self_; }
    failover::Signature sign(ByteView message) const override { return make(self_, message); }
    bool verify(const NodeKey& by, ByteView message, const failover::Signature& is) const override {
        return make(by, message) == is;
    }

  private:
    static failover::Signature make(const NodeKey& by, ByteView message) {
        failover::Signature signature;
        signature.bytes.fill(by.bytes[0]);
        const uint64_t hash = hash64(message) ^ (by.bytes[0] * 0x9e3779b97f4a7c15u);
        std::memcpy(signature.bytes.data(), &hash, sizeof hash);
        return signature;
    }
    NodeKey self_;
};

}  // namespace tanist::sim
