// What the organs of one failover node share: who it is, the config in force, where its log stands.
// Owned by Node; voter, candidate and holder read it.
#pragma once

#include "failover/core/config.h"
#include "failover/core/token.h"

namespace tanist::failover {

// Where this node's log is. A witness has none and leaves it zero.
struct LogState {
    LogPoint end;        // appended, synced or not
    Lsn durable;         // synced
    Lsn applied;         // readable in the database
    Position committed;  // the watermark, as far as this log is known to agree with the holder's
    // False while the database cannot be brought to the log's end (a sync is under way): such a
    // node votes, and is not elected.
    bool whole = true;
    // False while a primary's log cannot be written or synced: an error, not mere slowness.
    bool writable = true;
    bool operator==(const LogState&) const = default;
};

// Who would do better as the next primary, where several could: by log, priority, key.
struct Heir {
    Position end;
    uint16_t priority = 0;
    NodeKey node;
    bool goes_before(const Heir& other) const {
        if (end != other.end) return end > other.end;
        if (priority != other.priority) return priority > other.priority;
        return node < other.node;
    }
};

struct Standing {
    Config config;
    const Signer& signer;  // outlives the node
    LogState log;
    Instant progress{0};  // when the log's disk last finished a sync or a canary write

    NodeKey self() const { return signer.self(); }
    const Member* me() const { return config.find(self()); }
    bool is_witness() const { return me() != nullptr && me()->witness; }
};

// Pseudo-random numbers of the pure code: jitter and nonces. splitmix64; the seed is given.
class Dice {
  public:
    explicit Dice(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    // In [from, to).
    Nanos between(Nanos from, Nanos to) {
        return from +
               Nanos(static_cast<int64_t>(next() % static_cast<uint64_t>((to - from).count())));
    }

  private:
    uint64_t state_;
};

}  // namespace tanist::failover
