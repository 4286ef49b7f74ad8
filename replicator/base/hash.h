// Content hashes (XXH3). They find accidents: torn writes, bit rot, a wrong file. They do not stop
// a forger; CURVE and signatures do that.
#pragma once

#include <cstdint>
#include <memory>

#include "replicator/base/bytes.h"

namespace tanist {

uint64_t hash64(ByteView bytes);
Hash128 hash128(ByteView bytes);

// hash128 over pieces: the same value as one call over their concatenation.
class Hasher128 {
  public:
    Hasher128();
    ~Hasher128();
    Hasher128(Hasher128&&) noexcept;
    Hasher128& operator=(Hasher128&&) noexcept;
    void reset();
    void update(ByteView bytes);
    Hash128 digest() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace tanist
