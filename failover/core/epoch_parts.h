// How an epoch is made: generation (16 bits), forced nonce (16), counter (32), compared as one
// integer. Elections count; only an operator's forced promotion begins a generation, and so
// outranks every epoch that the other side could still mint by counting. The nonce keeps the epochs
// of two forced promotions of one generation apart.
#pragma once

#include <optional>

#include "replicator/base/ids.h"

namespace tanist::failover {

struct EpochParts {
    uint16_t generation = 0;
    uint16_t forced_nonce = 0;
    uint32_t counter = 0;
    bool operator==(const EpochParts&) const = default;
};

constexpr Epoch make_epoch(EpochParts parts) {
    return Epoch(uint64_t{parts.generation} << 48 | uint64_t{parts.forced_nonce} << 32 |
                 parts.counter);
}
constexpr EpochParts parts_of(Epoch epoch) {
    return {static_cast<uint16_t>(epoch.value >> 48), static_cast<uint16_t>(epoch.value >> 32),
            static_cast<uint32_t>(epoch.value)};
}
// The next election's epoch. Nothing when the counter is used up: it must not carry into the
// nonce. (At one election a second that takes 136 years.)
constexpr std::optional<Epoch> next_epoch(Epoch epoch) {
    if (parts_of(epoch).counter == UINT32_MAX) return std::nullopt;
    return epoch.next();
}
// The epoch of a forced promotion over `epoch`. Nothing when the generations are used up.
constexpr std::optional<Epoch> forced_epoch(Epoch epoch, uint16_t nonce) {
    EpochParts parts = parts_of(epoch);
    if (parts.generation == UINT16_MAX) return std::nullopt;
    return make_epoch({static_cast<uint16_t>(parts.generation + 1), nonce, 1});
}

}  // namespace tanist::failover
