// Keys and what their holders may do: the values that control, wire and node share. The arithmetic
// is in control/identity (libsodium).
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "replicator/base/ids.h"

namespace tanist {

// A public key of CURVE (X25519), derived from a node's Ed25519 key.
struct CurveKey {
    std::array<uint8_t, 32> bytes{};
    auto operator<=>(const CurveKey&) const = default;
    bool is_zero() const { return *this == CurveKey{}; }
};
inline std::string to_string(const CurveKey& key) {
    return hex(key.bytes.data(), key.bytes.size());
}

// A node's own pair, as libzmq takes it. Never printed, never stored: derived when needed.
struct CurvePair {
    CurveKey open;
    std::array<uint8_t, 32> secret{};
};

// What a log is encrypted with at rest. Symmetric, of one node: never sent.
struct LogKey {
    std::array<uint8_t, 32> bytes{};
};

// Ed25519.
struct Signature {
    std::array<uint8_t, 64> bytes{};
    bool operator==(const Signature&) const = default;
    bool is_zero() const { return *this == Signature{}; }
};

// What the holder of a key may do in its cluster. On disk and on the wire for ever: bits of a u16.
enum class Right : uint16_t {
    lead = 1,     // be the primary: open sessions, send records and pages
    admit = 2,    // sign the member list
    operate = 4,  // give an operator's commands; counts only as a key's one right
};

struct Rights {
    uint16_t bits = 0;
    constexpr bool has(Right right) const { return (bits & static_cast<uint16_t>(right)) != 0; }
    constexpr Rights with(Right right) const {
        return {static_cast<uint16_t>(bits | static_cast<uint16_t>(right))};
    }
    bool operator==(const Rights&) const = default;
};
constexpr uint16_t kRightsKnown = 7;
// A person's key, which may command nodes and is none: whatever else a key may do, a machine holds
// it.
constexpr bool is_operator(Rights rights) { return rights == Rights{}.with(Right::operate); }

// A key that may connect, and its rights there.
struct AllowedKey {
    CurveKey curve;
    NodeKey node;
    Rights rights;
};

}  // namespace tanist
