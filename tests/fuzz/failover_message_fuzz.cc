// Any bytes as a message of the failover protocol: decoding never reads or allocates out of bounds,
// and what is accepted encodes to the same bytes.
#include <algorithm>
#include <cstdlib>

#include "failover/core/message.h"

using namespace tanist;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const ByteView bytes(data, size);
    const auto message = failover::decode_message(bytes);
    if (!message.ok()) return 0;
    if (!std::ranges::equal(failover::encode(*message), bytes)) std::abort();
    return 0;
}
