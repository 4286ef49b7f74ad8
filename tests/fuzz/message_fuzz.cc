// Any envelope and body: decoding never reads or allocates out of bounds, and what is accepted
// encodes to the same bytes. The input is an envelope of 64 bytes, then the body.
#include <algorithm>
#include <cstdlib>

#include "replicator/base/hash.h"
#include "replicator/wire/message.h"

using namespace tanist;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < kEnvelopeBytes) return 0;
    Bytes head(data, data + kEnvelopeBytes);
    ByteView body(data + kEnvelopeBytes, size - kEnvelopeBytes);
    auto put = [&](size_t at, uint64_t value, size_t count) {
        for (size_t i = 0; i < count; ++i) head[at + i] = static_cast<uint8_t>(value >> (8 * i));
    };
    // The checksums would keep the fuzzer from everything behind them.
    put(48, body.size(), 4);
    put(52, body.empty() ? 0 : hash64(body), 4);
    put(56, hash64(ByteView(head).first(56)), 8);
    auto envelope = decode_envelope(head);
    if (!envelope.ok()) return 0;
    auto decoded = decode_body(*envelope, body);
    if (!decoded.ok()) return 0;
    Bytes envelope_again;
    Bytes body_again;
    encode({*envelope, *decoded}, envelope_again, body_again);
    if (envelope_again != head || !std::ranges::equal(body_again, body)) std::abort();
    return 0;
}
