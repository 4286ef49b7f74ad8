// Who belongs to a group, which quorums decide, and how long things may take: the part of the
// settings that all members must have equal. Pure values.
//
// Two quorums, not one. An epoch needs a majority of all voters (data members and witnesses), so
// that it is granted once. A loss-free token needs N - k of the N data members that count for
// synchronous commits, so that it meets every set of k acknowledgements.
//
// While members change, a config has two sides (`leaving` is the old one), and every quorum is
// needed on both.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "replicator/base/bytes.h"
#include "replicator/base/clock.h"
#include "replicator/base/ids.h"
#include "replicator/base/result.h"

namespace tanist::failover {

struct ConfigId {
    Epoch epoch;  // under which it was stored; zero: by an operator, before any election
    uint32_t version = 0;
    auto operator<=>(const ConfigId&) const = default;
};

struct Member {
    NodeKey node;
    uint16_t priority = 100;  // the higher, the sooner it asks for votes
    bool witness = false;     // votes, holds no data
    bool nofailover = false;  // never elected but by an operator who names it
    bool nosync = false;      // its acks and its log decide nothing
    bool operator==(const Member&) const = default;
    // Member of S: its acks count, and its grants count for the data rule.
    bool syncs() const { return !witness && !nosync; }
};

// On the wire and in the ballot; zero is never valid. Ordered: a higher level includes the lower.
enum class AckLevel : uint8_t { received = 1, durable = 2, applied = 3 };
enum class OnUnavailable : uint8_t { block = 1, degrade = 2 };
// full: a grant waits for every promise it knows of. writes_only: acknowledgements alone protect
// writes, so a voter grants after three missed heartbeats; reads on a lost primary may be stale for
// one lease.
enum class LeaseMode : uint8_t { full = 1, writes_only = 2 };
enum class OnAppExit : uint8_t { keep = 1, release = 2 };

// See docs/failover.md, "Time". Clocks of two nodes drift apart by at most drift_permille each.
struct Timing {
    Nanos heartbeat{0};
    Nanos lease{0};    // the holder's, from the sending of a renewal
    Nanos promise{0};  // a voter's, from its arrival
    Nanos guard{0};    // longest time between a gate's look at the lease and the effect
    uint32_t drift_permille = 0;
    Nanos round{0};  // an election round: twice (network and fsync), at least
    Nanos handover_window{0};
    Nanos drain{0};  // a switchover that has not drained by then is given up
    Nanos degrade_after{0};
    bool operator==(const Timing&) const = default;
};
enum class TimingProfile { standard, lan, wan };
Timing timing_of(TimingProfile profile);
// A voter must not grant while a lease that it supports may be alive on a clock slow by the drift,
// looked at `guard` before the effect: promise >= (lease * (1 + drift) + guard) / (1 - drift).
Nanos promise_min(const Timing& timing);
// One sentence with the relation that does not hold, or "".
std::string why_invalid(const Timing& timing);

struct Config {
    ClusterId cluster;
    GroupId group;
    ConfigId id;
    std::vector<Member> members;     // sorted by node
    std::vector<Member> leaving;     // the old side while members change; else empty
    std::vector<NodeKey> operators;  // who may sign an OperatorCert
    uint8_t sync_k = 1;  // acknowledgements beside the primary's own log; 0: asynchronous
    AckLevel level = AckLevel::durable;
    OnUnavailable on_unavailable = OnUnavailable::block;
    LeaseMode lease_mode = LeaseMode::full;
    OnAppExit on_app_exit = OnAppExit::keep;
    // Asynchronous groups: an election without an operator may lose up to so many records. Zero:
    // none, so that it needs an operator.
    uint64_t lag_max_on_failover = 0;
    Timing timing;
    bool operator==(const Config&) const = default;

    const Member* find(const NodeKey& node) const;  // in either side; null: no member
    bool votes(const NodeKey& node) const { return find(node) != nullptr; }
    bool joint() const { return !leaving.empty(); }
    std::vector<NodeKey> voters() const;  // both sides, each once
};
constexpr size_t kMembersMax = 32;  // of one side
constexpr size_t kOperatorsMax = 8;
std::string why_invalid(const Config& config);
void encode(const Config& config, ByteWriter& out);
Result<Config> decode_config(ByteReader& in);

using NodeSet = std::span<const NodeKey>;
// More than half of the voters of each side.
bool is_majority(const Config& config, NodeSet nodes);
// At least N - k of the N sync members of each side.
bool meets_every_ack_set(const Config& config, NodeSet data_nodes, uint8_t k);
// The largest k that leaves commits possible at all: sync members besides the primary.
uint8_t k_max(const Config& config);

}  // namespace tanist::failover
