#include "replicator/wire/crowd.h"

#include <algorithm>

namespace tanist {

std::vector<PeerNetwork> crowds(std::vector<PeerNetwork> connections, size_t most) {
    std::sort(connections.begin(), connections.end());
    struct Crowd {
        PeerNetwork network;
        size_t count = 0;
    };
    std::vector<Crowd> found;
    for (auto at = connections.begin(); at != connections.end();) {
        const auto end = std::upper_bound(at, connections.end(), *at);
        const auto count = static_cast<size_t>(end - at);
        if (count > most) found.push_back({*at, count});
        at = end;
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Crowd& a, const Crowd& b) { return a.count > b.count; });
    if (found.size() > kBarredMax) found.resize(kBarredMax);
    std::vector<PeerNetwork> networks;
    for (const Crowd& crowd : found) networks.push_back(crowd.network);
    return networks;
}

}  // namespace tanist
