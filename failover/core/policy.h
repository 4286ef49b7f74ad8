// The durability policy in force: how many acknowledgements a commit needs, and whether automatic
// failover is paused. A change is a quorum write under the current epoch. Weaker: stored at a
// majority first, used then. Stronger: used first, proved by a commit, stored then. Every epoch
// starts from the config's own k; what an earlier epoch stored only binds elections.
#pragma once

#include "failover/core/config.h"

namespace tanist::failover {

struct PolicyId {
    Epoch epoch;
    uint32_t step = 0;
    auto operator<=>(const PolicyId&) const = default;
};

struct Policy {
    PolicyId id;
    uint8_t k = 0;
    AckLevel level = AckLevel::durable;
    bool paused = false;  // no automatic elections
    bool operator==(const Policy&) const = default;
};

// What the config itself says; with the zero id, older than everything stored.
inline Policy configured_policy(const Config& config) {
    return {PolicyId{}, config.sync_k, config.level, false};
}
// `next` promises less than `now`: it must be stored before it is used.
inline bool is_weaker(const Policy& next, const Policy& now) {
    return next.k < now.k || next.level < now.level;
}
void encode(const Policy& policy, ByteWriter& out);
Policy decode_policy(ByteReader& in);  // fails the reader when invalid

}  // namespace tanist::failover
