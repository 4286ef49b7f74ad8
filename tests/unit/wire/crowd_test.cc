#include "replicator/wire/crowd.h"

#include <doctest/doctest.h>

using namespace tanist;

namespace {

PeerNetwork v4(uint8_t last) { return {.v6 = false, .bytes = {10, 0, 0, last}}; }

std::vector<PeerNetwork> times(size_t count, PeerNetwork network) {
    return std::vector<PeerNetwork>(count, network);
}

std::vector<PeerNetwork> together(std::vector<std::vector<PeerNetwork>> groups) {
    std::vector<PeerNetwork> all;
    for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
    return all;
}

}  // namespace

TEST_CASE("crowd: who has more than his share, the fullest first, and nobody else") {
    const auto all = together({times(5, v4(1)), times(4, v4(2)), times(9, v4(3)), times(1, v4(4))});
    CHECK(crowds(all, 4) == std::vector<PeerNetwork>{v4(3), v4(1)});
    CHECK(crowds(all, 9).empty());
    CHECK(crowds({}, 0).empty());
}

TEST_CASE("crowd: an IPv6 network is none of IPv4 with the same bytes") {
    PeerNetwork v6 = v4(1);
    v6.v6 = true;
    CHECK(crowds(together({times(3, v4(1)), times(3, v6)}), 5).empty());
}

TEST_CASE("crowd: not more are barred than a filter takes") {
    std::vector<PeerNetwork> all;
    for (int i = 0; i < 200; ++i) {
        all.push_back(v4(static_cast<uint8_t>(i)));
        all.push_back(v4(static_cast<uint8_t>(i)));
    }
    CHECK(crowds(all, 1).size() == kBarredMax);
}
