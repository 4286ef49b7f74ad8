#include <sodium.h>

#include <cassert>
#include <cstring>

#include "replicator/base/log_cipher.h"

namespace tanist {
namespace {

static_assert(sizeof(LogKey::bytes) == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(kSealTagBytes == crypto_aead_xchacha20poly1305_ietf_ABYTES);

using FullNonce = std::array<uint8_t, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES>;

FullNonce full(const SealNonce& nonce, uint64_t part) {
    FullNonce out;
    static_assert(sizeof(nonce.bytes) + sizeof(part) == sizeof(out));
    std::memcpy(out.data(), nonce.bytes.data(), nonce.bytes.size());
    for (size_t i = 0; i < sizeof(part); ++i) {
        out[nonce.bytes.size() + i] = static_cast<uint8_t>(part >> (8 * i));
    }
    return out;
}

}  // namespace

LogCipher::LogCipher(const LogKey& key) : key_(key) {
    constexpr std::string_view kPurpose = "TANIST-LOG-KEY-1";
    std::array<uint8_t, sizeof(id_)> id;
    static_assert(sizeof(id) < crypto_generichash_BYTES_MIN);
    std::array<uint8_t, crypto_generichash_BYTES_MIN> hash;
    crypto_generichash(hash.data(), hash.size(),
                       reinterpret_cast<const unsigned char*>(kPurpose.data()), kPurpose.size(),
                       key_.bytes.data(), key_.bytes.size());
    std::memcpy(id.data(), hash.data(), id.size());
    ByteReader in(id);
    id_ = in.u64();
}

LogCipher::~LogCipher() { sodium_memzero(key_.bytes.data(), key_.bytes.size()); }

void LogCipher::seal(const SealNonce& nonce, uint64_t part, ByteView bound, ByteView plain,
                     MutableBytes out) const {
    assert(out.size() == plain.size() + kSealTagBytes);
    const FullNonce unique = full(nonce, part);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(),
                                               bound.data(), bound.size(), nullptr, unique.data(),
                                               key_.bytes.data());
}

bool LogCipher::open(const SealNonce& nonce, uint64_t part, ByteView bound, ByteView sealed,
                     MutableBytes out) const {
    assert(sealed.size() == out.size() + kSealTagBytes);
    const FullNonce unique = full(nonce, part);
    return crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(),
                                                      sealed.size(), bound.data(), bound.size(),
                                                      unique.data(), key_.bytes.data()) == 0;
}

}  // namespace tanist
