#include <sodium.h>

#include "replicator/base/random.h"

namespace tanist {

void random_bytes(uint8_t* out, size_t count) {
    static const int ready = sodium_init();
    static_cast<void>(ready);
    ::randombytes_buf(out, count);
}

void wipe(void* secret, size_t count) { ::sodium_memzero(secret, count); }

uint64_t random_u64() {
    uint64_t value = 0;
    random_bytes(reinterpret_cast<uint8_t*>(&value), sizeof value);
    return value;
}

}  // namespace tanist
