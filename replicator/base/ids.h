// The values that name things. Each is its own type, so that an LSN is never passed for an epoch.
// Words and their meaning: docs/architecture.md.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace tanist {

// A number with a name. Explicit in, `.value` out, no arithmetic except next().
template <class Tag, class Int>
struct Tagged {
    Int value = 0;
    constexpr Tagged() = default;
    constexpr explicit Tagged(Int v) : value(v) {}
    constexpr auto operator<=>(const Tagged&) const = default;
    constexpr Tagged next() const { return Tagged(static_cast<Int>(value + 1)); }
};

// The fencing number of a primacy; only grows. Zero: no primary has existed.
using Epoch = Tagged<struct EpochTag, uint64_t>;
// The number of a record in the group's log: 1, 2, 3, ... Zero: nothing yet.
using Lsn = Tagged<struct LsnTag, uint64_t>;
// SQLite's page number, from 1.
using Pgno = Tagged<struct PgnoTag, uint32_t>;

// Where a history stands. Text form "epoch:lsn". Compared lexicographically.
struct Position {
    Epoch epoch;
    Lsn lsn;
    auto operator<=>(const Position&) const = default;
};
std::string to_string(Position position);
std::optional<Position> parse_position(std::string_view text);

// 16 opaque bytes, random unless said otherwise; text form is 32 hex digits.
template <class Tag>
struct Id128 {
    std::array<uint8_t, 16> bytes{};
    auto operator<=>(const Id128&) const = default;
    bool is_zero() const { return *this == Id128{}; }
};
using ClusterId = Id128<struct ClusterTag>;
// Names one log (one group of databases) for ever.
using GroupId = Id128<struct GroupTag>;
// Running hash over all records up to an LSN: equal (lsn, chain) means equal history.
using Chain = Id128<struct ChainTag>;
// Content hash (XXH3-128): detects accidents, not malice.
using Hash128 = Id128<struct HashTag>;

// A point of the history: the position of a record, and the chain after it.
struct LogPoint {
    Position position;
    Chain chain;
    bool operator==(const LogPoint&) const = default;
};

// A node's Ed25519 public key; it is the node's identity.
struct NodeKey {
    std::array<uint8_t, 32> bytes{};
    auto operator<=>(const NodeKey&) const = default;
    bool is_zero() const { return *this == NodeKey{}; }
};

std::string hex(const uint8_t* bytes, size_t count);
bool parse_hex(std::string_view text, uint8_t* out, size_t count);
template <class Tag>
std::string to_string(const Id128<Tag>& id) {
    return hex(id.bytes.data(), id.bytes.size());
}
inline std::string to_string(const NodeKey& key) { return hex(key.bytes.data(), key.bytes.size()); }

}  // namespace tanist
