// Ed25519 signatures (libsodium) with a node's identity. The secret stays in this object's memory,
// which is wiped when it goes. Not copyable; sign and verify from any thread.
#pragma once

#include <memory>
#include <string>

#include "failover/core/token.h"

namespace tanist::failover {

class SodiumSigner final : public Signer {
  public:
    // From the 32 bytes of seed that the identity file holds.
    static Result<std::unique_ptr<SodiumSigner>> from_seed(ByteView seed);
    ~SodiumSigner() override;
    SodiumSigner(const SodiumSigner&) = delete;
    SodiumSigner& operator=(const SodiumSigner&) = delete;

    NodeKey self() const override { return self_; }
    Signature sign(ByteView message) const override;
    bool verify(const NodeKey& by, ByteView message, const Signature& is) const override;

  private:
    SodiumSigner() = default;
    NodeKey self_;
    std::array<uint8_t, 64> secret_{};
};

}  // namespace tanist::failover
