// The holder: lease, policy, commit rule, hand-over. It exists from the token on.
//
//   none --token--> starting --barrier committed and applied--> open
//   open --SwitchoverTo--> draining --target has everything--> releasing --persisted--> none
//   draining --not in time--> open
//   any --promised > epoch, anywhere--> none (StepDown)
//
// Lease (B9): per voter the moment at which the newest renewal that it answered was sent; the
// majority-th newest plus timing.lease. Commits need no lease, only acknowledgements; the gate
// needs both.
//
// Commit rule (C1): the watermark moves to LSN i when i belongs to this epoch, this node has it
// synced, and k members of S acknowledged it at the policy's level, in this epoch.
//
// Not thread-safe; Node owns it.
#pragma once

#include <map>
#include <optional>

#include "failover/core/action.h"
#include "failover/core/standing.h"
#include "failover/core/voter.h"

namespace tanist::failover {

enum class HolderPhase { none, starting, open, draining, releasing };
const char* to_string(HolderPhase phase);

class Holder {
  public:
    // `standing` and `voter` must outlive it.
    Holder(Standing& standing, Voter& voter, uint64_t seed);

    void begin(const Token& token, Instant now, Actions& out);
    void on_barrier_appended(LogPoint at, Instant now, Actions& out);
    void on_renew_ack(const NodeKey& from, const RenewAck& ack, Instant now, Actions& out);
    void on_acknowledged(const NodeKey& from, Epoch epoch, const LogState& log, Instant now,
                         Actions& out);
    void on_policy_stored(const NodeKey& from, const PolicyStored& stored, Instant now,
                          Actions& out);
    void on_config_stored(const NodeKey& from, const ConfigStored& stored, Instant now,
                          Actions& out);
    void on_need_token(const NodeKey& from, Actions& out);
    void on_log_moved(Instant now, Actions& out);
    void on_tick(Instant now, Actions& out);
    // Operator and application.
    Status switch_over_to(const NodeKey& target, Instant now, Actions& out);
    void on_drained(Instant now, Actions& out);
    void on_app_gone(Instant now, Actions& out);
    Status set_paused(bool paused, Actions& out);
    Status set_policy(uint8_t k, AckLevel level, Actions& out);
    Status change_members(std::vector<Member> members, Actions& out);
    void step_down(const std::string& reason, Actions& out);
    void on_persisted(Instant now, Actions& out);

    bool active() const { return phase_ != HolderPhase::none; }
    HolderPhase phase() const { return phase_; }
    Epoch epoch() const { return token_ ? token_->epoch() : Epoch(0); }
    const Policy& policy() const { return policy_; }
    Position committed() const { return committed_; }
    Instant lease_until() const { return lease_until_; }
    // Which sync members are caught up within the last heartbeats, for status and `explain`.
    std::vector<NodeKey> reachable(Instant now) const;
    Instant deadline() const;
    void check_invariants() const;

  private:
    struct Peer {
        Instant renewed{INT64_MIN};  // sending time of the newest renewal it answered
        bool has_renewed = false;
        LogState log;  // as acknowledged in this epoch
        Instant heard{0};
        bool has_acked = false;
    };
    enum class Change { none, storing_weaker, proving, storing };

    void renew(Instant now, Actions& out);
    void recompute_lease(Instant now);
    void recompute_committed(Actions& out);
    void maybe_open(Instant now, Actions& out);
    void tend_policy(Instant now, Actions& out);
    void tend_switchover(Instant now, Actions& out);
    void set_gate(Instant now, Actions& out);
    void store_policy(const Policy& policy, Actions& out);
    void begin_change(Policy next, Actions& out);
    void policy_is_stored(Actions& out);
    void release(const NodeKey& successor, Actions& out);
    void tell_all(const Message& message, Actions& out);
    Lsn kth_highest(uint8_t k, AckLevel level, const std::vector<Member>& side) const;
    Lsn acknowledged_by(const Policy& policy) const;

    Standing& standing_;
    Voter& voter_;
    Dice dice_;
    HolderPhase phase_ = HolderPhase::none;
    std::optional<Token> token_;
    std::map<NodeKey, Peer> peers_;
    std::map<uint64_t, Instant> sent_;  // renewals not yet answered by all: seq -> sending time
    uint64_t seq_ = 0;
    Instant next_renew_{0};
    Instant lease_until_{0};
    Lsn barrier_;  // zero: not yet appended
    Position committed_;
    Gate gate_;
    // Policy. `policy_` is in force for commits; `next_` is on its way.
    Policy policy_;
    Policy next_;
    Change change_ = Change::none;
    bool strong_may_be_stored_ = false;  // some voter may hold `next_` already
    std::vector<NodeKey> stored_;
    Lsn proof_;  // proving: this record must be committed under the stronger policy
    Instant blocked_since_{INT64_MAX};
    Instant resend_{0};
    // Members.
    std::optional<Config> next_config_;
    std::vector<NodeKey> config_stored_;
    // Switchover.
    NodeKey target_;
    Instant drain_until_{0};
    bool drained_ = false;
    std::optional<ReleaseCert> cert_;
    uint64_t release_serial_ = 0;
};

}  // namespace tanist::failover
