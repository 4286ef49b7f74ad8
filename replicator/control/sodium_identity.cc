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

using Seed = std::array<uint8_t, crypto_sign_SEEDBYTES>;

NodeKey key_of(Seed& seed) {
    NodeKey key;
    std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret;
    crypto_sign_seed_keypair(key.bytes.data(), secret.data(), seed.data());
    sodium_memzero(secret.data(), secret.size());
    sodium_memzero(seed.data(), seed.size());
    return key;
}

Result<NodeKey> load(const std::string& path) {
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
    Seed seed;
    bool good =
        text.size() == kIdentityBytes && text.starts_with(kIdentityPrefix) &&
        parse_hex(text.substr(kIdentityPrefix.size(), 2 * seed.size()), seed.data(), seed.size());
    sodium_memzero(bytes->data(), bytes->size());
    if (!good) {
        return Error{Errc::corrupt, path +
                                        " is not an identity file; restore it from a backup, or "
                                        "remove it and add this node to its cluster again"};
    }
    return key_of(seed);
}

}  // namespace

Result<NodeKey> load_or_create_identity(const std::string& path) {
    if (sodium_init() < 0) return Error{Errc::io, "libsodium found no source of randomness"};
    if (path_exists(path)) return load(path);
    Seed seed;
    randombytes_buf(seed.data(), seed.size());
    std::string text = std::string(kIdentityPrefix) + hex(seed.data(), seed.size()) + "\n";
    Status written = replace_file(path, view_of(text));
    sodium_memzero(text.data(), text.size());
    if (!written) return std::move(written).error();
    return key_of(seed);
}

}  // namespace tanist
