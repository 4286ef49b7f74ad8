#include <sodium.h>

#include <array>

#include "replicator/base/file.h"
#include "replicator/control/identity.h"

namespace tanist {
namespace {

// The file is one line: this word, a space, the seed in hex.
constexpr std::string_view kIdentityPrefix = "tanist-identity-1 ";
constexpr size_t kIdentityBytes = kIdentityPrefix.size() + 2 * crypto_sign_SEEDBYTES + 1;
static_assert(crypto_sign_PUBLICKEYBYTES == sizeof(NodeKey::bytes));
static_assert(crypto_sign_SEEDBYTES == 32 && crypto_sign_SECRETKEYBYTES == 64);
static_assert(crypto_sign_BYTES == sizeof(Signature::bytes));
static_assert(crypto_box_PUBLICKEYBYTES == sizeof(CurveKey::bytes));
static_assert(crypto_box_SECRETKEYBYTES == sizeof(CurvePair::secret));

Status ready() {
    if (sodium_init() >= 0) return ok_status();
    return Error{Errc::io, "libsodium found no source of randomness"};
}

}  // namespace

Identity::~Identity() {
    sodium_memzero(seed_.data(), seed_.size());
    sodium_memzero(secret_.data(), secret_.size());
}

void Identity::derive() {
    crypto_sign_seed_keypair(key_.bytes.data(), secret_.data(), seed_.data());
}

Result<Identity> Identity::create() {
    TANIST_TRY(ready());
    Identity identity;
    randombytes_buf(identity.seed_.data(), identity.seed_.size());
    identity.derive();
    return identity;
}

Result<Identity> Identity::load(const std::string& path) {
    TANIST_TRY(ready());
    Result<FileStat> stat = stat_path(path);
    if (!stat) return std::move(stat).error();
    if ((stat->mode & 077) != 0) {
        return Error{Errc::refused, path +
                                        " can be read by others than its owner, so this node's "
                                        "identity is not secret; run: chmod 600 " +
                                        path};
    }
    Result<Bytes> bytes = read_file(path, kIdentityBytes);
    if (!bytes) return std::move(bytes).error();
    std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    Identity identity;
    bool good = text.size() == kIdentityBytes && text.starts_with(kIdentityPrefix) &&
                parse_hex(text.substr(kIdentityPrefix.size(), 2 * identity.seed_.size()),
                          identity.seed_.data(), identity.seed_.size());
    sodium_memzero(bytes->data(), bytes->size());
    if (!good) {
        return Error{Errc::corrupt, path +
                                        " is not an identity file; restore it from a backup, or "
                                        "remove it and add this node to its cluster again"};
    }
    identity.derive();
    return identity;
}

Status Identity::save(const std::string& path) const {
    std::string text = std::string(kIdentityPrefix) + hex(seed_.data(), seed_.size()) + "\n";
    Status written = replace_file(path, view_of(text));
    sodium_memzero(text.data(), text.size());
    return written;
}

CurvePair Identity::curve() const {
    CurvePair pair;
    // Our own key was made by libsodium: the conversion cannot fail.
    if (crypto_sign_ed25519_pk_to_curve25519(pair.open.bytes.data(), key_.bytes.data()) != 0 ||
        crypto_sign_ed25519_sk_to_curve25519(pair.secret.data(), secret_.data()) != 0) {
        return {};
    }
    return pair;
}

Signature Identity::sign(ByteView message) const {
    Signature signature;
    crypto_sign_detached(signature.bytes.data(), nullptr, message.data(), message.size(),
                         secret_.data());
    return signature;
}

Result<NodeKey> load_or_create_identity(const std::string& path) {
    Result<Identity> identity = path_exists(path) ? Identity::load(path) : Identity::create();
    if (!identity) return std::move(identity).error();
    if (!path_exists(path)) TANIST_TRY(identity->save(path));
    return identity->key();
}

std::optional<CurveKey> curve_key_of(const NodeKey& key) {
    CurveKey curve;
    if (crypto_sign_ed25519_pk_to_curve25519(curve.bytes.data(), key.bytes.data()) != 0) {
        return std::nullopt;
    }
    return curve;
}

bool verify(const NodeKey& key, ByteView message, const Signature& signature) {
    return crypto_sign_verify_detached(signature.bytes.data(), message.data(), message.size(),
                                       key.bytes.data()) == 0;
}

std::array<uint8_t, 32> digest(ByteView bytes) {
    std::array<uint8_t, 32> out{};
    crypto_generichash(out.data(), out.size(), bytes.data(), bytes.size(), nullptr, 0);
    return out;
}

bool equal_secrets(ByteView a, ByteView b) {
    return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace tanist
