#include "replicator/base/peer_state.h"

namespace tanist {

const char* to_string(PeerState state) {
    switch (state) {
        case PeerState::none:
            return "none";
        case PeerState::connecting:
            return "connecting";
        case PeerState::refused:
            return "refused";
        case PeerState::syncing:
            return "syncing";
        case PeerState::streaming:
            return "streaming";
    }
    return "?";
}

}  // namespace tanist
