#include "replicator/base/hash.h"

#include <xxhash.h>

namespace tanist {
namespace {

Hash128 from_xxh(XXH128_hash_t value) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, value);
    Hash128 hash;
    static_assert(sizeof canonical.digest == sizeof hash.bytes);
    std::memcpy(hash.bytes.data(), canonical.digest, hash.bytes.size());
    return hash;
}

}  // namespace

uint64_t hash64(ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Hash128 hash128(ByteView bytes) { return from_xxh(XXH3_128bits(bytes.data(), bytes.size())); }

struct Hasher128::State {
    struct Free {
        void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
    };
    std::unique_ptr<XXH3_state_t, Free> xxh{XXH3_createState()};
};

Hasher128::Hasher128() : state_(std::make_unique<State>()) { reset(); }
Hasher128::~Hasher128() = default;
Hasher128::Hasher128(Hasher128&&) noexcept = default;
Hasher128& Hasher128::operator=(Hasher128&&) noexcept = default;
void Hasher128::reset() { XXH3_128bits_reset(state_->xxh.get()); }
void Hasher128::update(ByteView bytes) {
    XXH3_128bits_update(state_->xxh.get(), bytes.data(), bytes.size());
}
Hash128 Hasher128::digest() const { return from_xxh(XXH3_128bits_digest(state_->xxh.get())); }

}  // namespace tanist
