#include "failover/adapters/sodium_signer.h"

#include <sodium.h>

namespace tanist::failover {

static_assert(crypto_sign_BYTES == sizeof(Signature::bytes));
static_assert(crypto_sign_PUBLICKEYBYTES == sizeof(NodeKey::bytes));
static_assert(crypto_sign_SECRETKEYBYTES == 64);

Result<std::unique_ptr<SodiumSigner>> SodiumSigner::from_seed(ByteView seed) {
    if (sodium_init() < 0) return Error{Errc::io, "libsodium found no source of randomness"};
    if (seed.size() != crypto_sign_SEEDBYTES) {
        return Error{Errc::invalid, "an identity's seed has 32 bytes"};
    }
    std::unique_ptr<SodiumSigner> signer(new SodiumSigner);
    crypto_sign_seed_keypair(signer->self_.bytes.data(), signer->secret_.data(), seed.data());
    return signer;
}

SodiumSigner::~SodiumSigner() { sodium_memzero(secret_.data(), secret_.size()); }

Signature SodiumSigner::sign(ByteView message) const {
    Signature signature;
    crypto_sign_detached(signature.bytes.data(), nullptr, message.data(), message.size(),
                         secret_.data());
    return signature;
}

bool SodiumSigner::verify(const NodeKey& by, ByteView message, const Signature& is) const {
    return crypto_sign_verify_detached(is.bytes.data(), message.data(), message.size(),
                                       by.bytes.data()) == 0;
}

}  // namespace tanist::failover
