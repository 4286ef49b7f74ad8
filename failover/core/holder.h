// The holder: lease, policy, commit rule, hand-over. It exists from the token on.
//
//   none --token--> starting --barrier committed and applied--> open
//   open --SwitchoverTo--> draining --target has everything--> releasing --persisted--> none
//   draining --not in time--> open
//   starting, open --disk makes no progress, application gone--> releasing
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
    // `log`: end, durable and applied as `from` acknowledged them in epoch `of`.
    void on_acknowledged(const NodeKey& from, Epoch of, const LogState& log, Instant now,
                         Actions& out);
    void on_policy_stored(const NodeKey& from, const PolicyStored& stored, Instant now,
                          Actions& out);
    void on_need_token(const NodeKey& from, Actions& out);
    void on_log_moved(Instant now, Actions& out);
    void on_persisted();
    void on_tick(Instant now, Actions& out);
    void step_down(const std::string& reason, Actions& out);
    // Operator and application. refused, invalid, unreachable, busy: nothing was begun.
    Status switch_over_to(const NodeKey& target, Instant now, Actions& out);
    void on_drained(Instant now, Actions& out);
    void on_app_gone(Actions& out);
    Status set_paused(bool paused, Instant now, Actions& out);

    bool active() const { return phase_ != HolderPhase::none; }
    HolderPhase phase() const { return phase_; }
    Epoch epoch() const { return token_ ? token_->epoch() : Epoch(0); }
    const Policy& policy() const { return policy_; }
    Position committed() const { return committed_; }
    Instant lease_until() const { return lease_until_; }
    const Gate& gate() const { return gate_; }
    // Sync members that acknowledged something within the last three heartbeats.
    std::vector<NodeKey> reachable(Instant now) const;
    Instant deadline(Instant now) const;
    void check_invariants() const;

  private:
    struct Peer {
        Instant renewed{INT64_MIN};  // sending time of the newest renewal it answered; least: none
        LogState log;                // as acknowledged in this epoch
        bool has_acked = false;
        Instant heard{0};
    };
    enum class Change { none, storing_weaker, proving, storing };

    void tell_all(const Message& message, Actions& out);
    void renew(Instant now, Actions& out);
    void recompute_lease(Instant now);
    void recompute_committed(Instant now, Actions& out);
    Lsn kth_highest(uint8_t k, AckLevel level, const std::vector<Member>& side) const;
    Lsn acknowledged_by(const Policy& policy) const;
    void maybe_open(Instant now, Actions& out);
    void set_gate(Instant now, Actions& out);
    void begin_storing(Policy next, Change change, Instant now, Actions& out);
    void send_policy(Instant now, Actions& out);
    uint8_t k_reachable(Instant now) const;
    bool may_strengthen(Instant now) const;
    void tend_change(Instant now, Actions& out);
    void tend_strength(Instant now, Actions& out);
    void tend_switchover(Instant now, Actions& out);
    void tend_log(Instant now, Actions& out);
    void release(const NodeKey& successor, const std::string& reason, Actions& out);

    Standing& standing_;
    Voter& voter_;
    Dice dice_;
    HolderPhase phase_ = HolderPhase::none;
    std::optional<Token> token_;
    std::map<NodeKey, Peer> peers_;
    // Lease.
    uint64_t seq_ = 0;
    std::map<uint64_t, Instant> sent_;  // when renewals were sent, by seq
    Instant next_renew_{0};
    Instant lease_until_{0};
    Instant without_lease_since_{0};
    Gate gate_;
    // Commits.
    Lsn barrier_;  // the epoch's first record; zero: not yet appended
    Position committed_;
    Instant blocked_since_{0};
    // Policy. In force for commits; the newest that a majority stored; on its way there.
    Policy policy_;
    Policy stored_;
    Policy next_;
    Change change_ = Change::none;
    uint32_t policy_step_ = 0;
    std::vector<NodeKey> storing_at_;  // who has stored next_
    Lsn proof_;                        // proving: the record that proves it; zero: not yet appended
    Instant resend_{0};
    // Hand-over.
    NodeKey target_;
    Instant drain_until_{0};
    bool drained_ = false;
    uint64_t release_serial_ = 0;
};

}  // namespace tanist::failover
