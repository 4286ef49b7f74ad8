// Who holds too many of a door's connections: what TcpDoor bars. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tanist {

// Where a connection comes from: an IPv4 address, or the first half of an IPv6 address, because
// whoever has one address of such a network has all of them.
struct PeerNetwork {
    bool v6 = false;
    std::array<uint8_t, 8> bytes{};  // v4: four of them
    auto operator<=>(const PeerNetwork&) const = default;
};

constexpr size_t kBarredMax = 32;

// The networks with more than `most` of the connections, the fullest first, at most kBarredMax.
std::vector<PeerNetwork> crowds(std::vector<PeerNetwork> connections, size_t most);

}  // namespace tanist
