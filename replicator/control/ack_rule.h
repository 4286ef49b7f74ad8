// When a commit counts as confirmed: the rule, its text, and whether acknowledgements satisfy it.
// Pure. Used by whoever waits, which is the application's own thread, and by the engine.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "replicator/base/ids.h"
#include "replicator/base/result.h"

namespace tanist {

// How far a replica must be with a commit: in its memory, fsynced in its log, readable.
enum class AckLevel : uint8_t { async = 0, received = 1, durable = 2, applied = 3 };

// `replicas` of them; with `majority`, as many as make a majority of all data members, of which the
// primary itself is one. Invariant: async has neither.
struct AckRule {
    AckLevel level = AckLevel::async;
    uint16_t replicas = 0;
    bool majority = false;
    bool operator==(const AckRule&) const = default;

    bool waits() const { return level != AckLevel::async; }
};

// Which of the two synchronous modes: nobody sees a commit before it is confirmed, or everybody at
// once and only the committer waits.
enum class CommitMode : uint8_t { before_visible, pipelined };
enum class OnTimeout : uint8_t { fail, degrade, wait };

// What one connection asks of its commits.
struct CommitPolicy {
    AckRule rule;
    CommitMode mode = CommitMode::before_visible;
    OnTimeout on_timeout = OnTimeout::fail;
    std::chrono::milliseconds timeout{5000};
    bool pipelines() const { return rule.waits() && mode == CommitMode::pipelined; }
};

// invalid: names everything that is allowed.
Result<AckRule> parse_ack_rule(const std::string& text);
Result<CommitMode> parse_commit_mode(const std::string& text);
Result<OnTimeout> parse_on_timeout(const std::string& text);
std::string to_string(const AckRule& rule);
const char* to_string(CommitMode mode);
const char* to_string(OnTimeout on_timeout);

// For one word of shared memory; zero is async.
uint32_t pack(const AckRule& rule);
AckRule unpack_ack_rule(uint32_t word);

// How far one replica is.
struct AckPoint {
    Lsn received;
    Lsn durable;
    Lsn applied;
};
// How many of `replicas` must acknowledge; of `durable:majority` at least one.
uint32_t replicas_needed(const AckRule& rule, uint32_t replicas);
// "" or why the rule can never hold with that many replicas.
std::string why_impossible(const AckRule& rule, uint32_t replicas);
// Requires: rule.waits(). `points` may have entries of replicas that are not there: zeros.
bool satisfied(const AckRule& rule, std::span<const AckPoint> points, uint32_t replicas, Lsn lsn);
// The last LSN for which the rule holds; zero when it holds for none.
Lsn confirmed(const AckRule& rule, std::span<const AckPoint> points, uint32_t replicas);

// "10MB", "5s", "1000 commits": how much may be lost with this node before writers are held back.
struct LagBound {
    enum class Unit : uint8_t { none, bytes, milliseconds, commits };
    Unit unit = Unit::none;
    uint64_t amount = 0;
    bool operator==(const LagBound&) const = default;
};
// What only this node has.
struct AtRisk {
    uint64_t bytes = 0;
    uint64_t commits = 0;
    std::chrono::nanoseconds age{0};  // of the oldest such commit
};
// How much of the bound is used up, in percent; 0 without one, at most UINT32_MAX.
uint32_t used_percent(const LagBound& bound, const AtRisk& risk);

}  // namespace tanist
