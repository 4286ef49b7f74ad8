// Random ids and numbers from the system (libsodium). Adapters only: pure code is given numbers.
#pragma once

#include "replicator/base/ids.h"

namespace tanist {

void random_bytes(uint8_t* out, size_t count);
uint64_t random_u64();
// Overwrites a secret; not optimised away.
void wipe(void* secret, size_t count);
template <class Id>
Id random_id() {
    Id id;
    random_bytes(id.bytes.data(), id.bytes.size());
    return id;
}

}  // namespace tanist
