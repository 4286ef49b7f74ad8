// The state of one replica as the primary sees it: decided by ship, shown by the control block.
#pragma once

#include <cstdint>

namespace tanist {

// Stored as a number in the control block: never renumber.
enum class PeerState : uint32_t {
    none = 0,
    connecting = 1,
    refused = 2,
    syncing = 3,
    streaming = 4
};
const char* to_string(PeerState state);

}  // namespace tanist
