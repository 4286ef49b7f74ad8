// Any bytes as a token file, its checksum made right: never out of bounds, and what is accepted is
// written the same again.
#include <algorithm>
#include <cstdlib>

#include "failover/core/token.h"
#include "replicator/base/hash.h"

using namespace tanist;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Bytes bytes(data, data + size);
    if (size >= 8) {
        const uint64_t sum = hash64(ByteView(bytes).first(size - 8));
        for (size_t i = 0; i < 8; ++i) bytes[size - 8 + i] = static_cast<uint8_t>(sum >> (8 * i));
    }
    const auto token = failover::read_token_file(bytes);
    if (!token.ok()) return 0;
    if (!std::ranges::equal(failover::token_file(*token), bytes)) std::abort();
    return 0;
}
