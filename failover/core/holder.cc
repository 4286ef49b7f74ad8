#include "failover/core/holder.h"

#include <algorithm>
#include <cassert>

#include "failover/core/mutation.h"

namespace tanist::failover {
namespace {

using namespace std::chrono_literals;

// Without a lease for so long, writers are told READONLY instead of BUSY.
constexpr Nanos kDemoteGrace = 1s;
// Renewals whose sending time is still remembered.
constexpr size_t kRenewalsRemembered = 64;

}  // namespace

const char* to_string(HolderPhase phase) {
    switch (phase) {
        case HolderPhase::none:
            return "none";
        case HolderPhase::starting:
            return "starting";
        case HolderPhase::open:
            return "open";
        case HolderPhase::draining:
            return "draining";
        case HolderPhase::releasing:
            return "releasing";
    }
    return "?";
}

Holder::Holder(Standing& standing, Voter& voter, uint64_t seed)
    : standing_(standing), voter_(voter), dice_(seed) {}

void Holder::tell_all(const Message& message, Actions& out) {
    for (const NodeKey& voter : standing_.config.voters()) {
        if (voter != standing_.self()) out.push_back(action::Send{voter, message});
    }
}

// ---- beginning and end of a primacy

// Every epoch begins at the configured policy. A degrade stored in an earlier one binds elections
// (N - k by the newest policy) and nothing else, until it is stored again in this one.
void Holder::begin(const Token& token, Instant now, Actions& out) {
    assert(!active());
    phase_ = HolderPhase::starting;
    token_ = token;
    peers_.clear();
    sent_.clear();
    barrier_ = Lsn(0);
    committed_ = {};
    lease_until_ = Instant{0};
    without_lease_since_ = now;
    gate_ = Gate{GateState::closed, token.epoch(), Instant{0}};
    stored_ = newest_policy(token, standing_.config);
    policy_ = configured_policy(standing_.config);
    policy_.id = {token.epoch(), policy_step_ = 0};
    // A config that asks for less than what is stored: weaker is stored first, here too.
    policy_.k = std::max(policy_.k, stored_.k);
    policy_.level = std::max(policy_.level, stored_.level);
    policy_.paused = stored_.paused;
    if (mutant(Mutation::inherit_policy) && stored_.k < policy_.k) policy_.k = stored_.k;
    change_ = Change::none;
    storing_at_.clear();
    blocked_since_ = now;
    target_ = {};
    next_renew_ = now;
    tell_all(Announce{token}, out);
    out.push_back(action::BeginEpoch{token});
}

void Holder::on_barrier_appended(LogPoint at, Instant now, Actions& out) {
    if (!active() || at.position.epoch != epoch()) return;
    if (barrier_ == Lsn(0)) barrier_ = at.position.lsn;
    if (change_ == Change::proving && proof_ == Lsn(0)) proof_ = at.position.lsn;
    next_renew_ = now;
    on_tick(now, out);
}

void Holder::step_down(const std::string& reason, Actions& out) {
    if (!active()) return;
    const Epoch over = epoch();
    phase_ = HolderPhase::none;
    lease_until_ = Instant{0};
    out.push_back(action::SetGate{Gate{GateState::closed, over, Instant{0}}});
    out.push_back(action::StepDown{over, reason});
    token_.reset();
}

void Holder::on_need_token(const NodeKey& from, Actions& out) {
    if (active() && token_) out.push_back(action::Send{from, Announce{*token_}});
}

// ---- lease

void Holder::renew(Instant now, Actions& out) {
    const Timing& timing = standing_.config.timing;
    next_renew_ = now + timing.heartbeat;
    // L6: who cannot write its log must not hold on to the primacy.
    if (now >= standing_.progress + timing.lease) {
        release({}, "the log's disk makes no progress", out);
        return;
    }
    ++seq_;
    sent_[seq_] = now;
    if (sent_.size() > kRenewalsRemembered) sent_.erase(sent_.begin());
    tell_all(Renew{epoch(), seq_, standing_.log.end.position, committed_, policy_}, out);
}

void Holder::on_renew_ack(const NodeKey& from, const RenewAck& ack, Instant now, Actions& out) {
    if (!active()) return;
    if (ack.promised > epoch()) {
        voter_.saw(ack.promised);
        step_down("epoch " + std::to_string(ack.promised.value) + " was promised", out);
        return;
    }
    const auto sent = sent_.find(ack.seq);
    if (ack.epoch != epoch() || sent == sent_.end()) return;
    Peer& peer = peers_[from];
    // L5: from when it was sent. The voter's promise began later than that.
    const Instant counts_from = mutant(Mutation::response_time) ? now : sent->second;
    peer.renewed = std::max(peer.renewed, counts_from);
    peer.heard = now;
    recompute_lease(now);
    set_gate(now, out);
}

// The majority-th newest renewal of each side, plus the lease. This node renews itself: now.
void Holder::recompute_lease(Instant now) {
    if (phase_ == HolderPhase::releasing || !active()) return;
    Instant until{INT64_MAX};
    for (const auto* side : {&standing_.config.members, &standing_.config.leaving}) {
        if (side->empty()) continue;
        std::vector<Instant> renewed;
        for (const Member& member : *side) {
            const auto peer = peers_.find(member.node);
            if (member.node == standing_.self()) {
                renewed.push_back(now);
            } else if (peer != peers_.end() && peer->second.renewed.ns != INT64_MIN) {
                renewed.push_back(peer->second.renewed);
            }
        }
        const size_t majority = side->size() / 2 + 1;
        if (renewed.size() < majority) {
            lease_until_ = Instant{0};
            return;
        }
        std::sort(renewed.begin(), renewed.end(), std::greater<>());
        until = std::min(until, renewed[majority - 1] + standing_.config.timing.lease);
    }
    lease_until_ = until;
    voter_.promise_to_self(epoch(), until, now);
}

// ---- acknowledgements and the commit rule

void Holder::on_acknowledged(const NodeKey& from, Epoch of, const LogState& log, Instant now,
                             Actions& out) {
    if (!active() || of != epoch()) return;
    Peer& peer = peers_[from];
    peer.has_acked = true;
    peer.heard = now;
    peer.log.end.position.lsn = std::max(peer.log.end.position.lsn, log.end.position.lsn);
    peer.log.durable = std::max(peer.log.durable, log.durable);
    peer.log.applied = std::max(peer.log.applied, log.applied);
    recompute_committed(now, out);
}

void Holder::on_log_moved(Instant now, Actions& out) {
    if (!active()) return;
    recompute_committed(now, out);
    tend_log(now, out);
}

// Of the sync members of a side, this node left out: the k-th highest acknowledged LSN. applied is
// waited for in two steps: k durable acks commit, then the watermark travels and is applied.
Lsn Holder::kth_highest(uint8_t k, AckLevel level, const std::vector<Member>& side) const {
    std::vector<Lsn> acked;
    for (const Member& member : side) {
        if (!member.syncs() || member.node == standing_.self()) continue;
        const auto peer = peers_.find(member.node);
        if (peer == peers_.end() || !peer->second.has_acked) continue;
        const LogState& log = peer->second.log;
        acked.push_back(level == AckLevel::received ? log.end.position.lsn : log.durable);
    }
    if (acked.size() < k) return Lsn(0);
    std::sort(acked.begin(), acked.end(), std::greater<>());
    return acked[k - 1];
}

Lsn Holder::acknowledged_by(const Policy& policy) const {
    Lsn lsn = standing_.log.durable;  // C2: this node's own copy counts only when it is synced
    if (policy.k == 0) return lsn;
    for (const auto* side : {&standing_.config.members, &standing_.config.leaving}) {
        if (!side->empty()) lsn = std::min(lsn, kth_highest(policy.k, policy.level, *side));
    }
    return lsn;
}

void Holder::recompute_committed(Instant now, Actions& out) {
    if (phase_ == HolderPhase::releasing) return;
    const Lsn lsn = acknowledged_by(policy_);
    // C1: records of older epochs commit only through one of this epoch.
    const bool own = barrier_ != Lsn(0) && lsn >= barrier_;
    const bool may = own || mutant(Mutation::no_barrier);
    if (may && lsn > committed_.lsn) {
        committed_ = {epoch(), lsn};
        blocked_since_ = now;
        out.push_back(action::Committed{committed_});
    }
    if (committed_.lsn >= standing_.log.durable) blocked_since_ = now;
    maybe_open(now, out);
    tend_change(now, out);
    tend_switchover(now, out);
}

// B10 steps 8 to 10: the barrier is committed, so all that was inherited is; it is applied, so
// what opens is complete.
void Holder::maybe_open(Instant now, Actions& out) {
    if (phase_ != HolderPhase::starting) return;
    const bool ready =
        barrier_ != Lsn(0) && committed_.lsn >= barrier_ && standing_.log.applied >= barrier_;
    if (!ready && !mutant(Mutation::no_barrier)) return;
    phase_ = HolderPhase::open;
    out.push_back(action::Report{"primary of epoch " + std::to_string(epoch().value)});
    set_gate(now, out);
}

// ---- the gate

void Holder::set_gate(Instant now, Actions& out) {
    Gate gate{GateState::closed, epoch(), Instant{0}};
    const Instant until{lease_until_.ns - standing_.config.timing.guard.count()};
    if (now < until) without_lease_since_ = now;
    if (phase_ == HolderPhase::draining) {
        gate.state = GateState::waiting;
    } else if (phase_ == HolderPhase::open) {
        gate.state = now < until                                 ? GateState::open
                     : now - without_lease_since_ < kDemoteGrace ? GateState::waiting
                                                                 : GateState::closed;
        if (gate.state == GateState::open) gate.until = until;
    }
    if (gate == gate_) return;
    gate_ = gate;
    out.push_back(action::SetGate{gate});
}

std::vector<NodeKey> Holder::reachable(Instant now) const {
    std::vector<NodeKey> nodes;
    for (const auto& [node, peer] : peers_) {
        const Member* member = standing_.config.find(node);
        const bool fresh = now < peer.heard + 3 * standing_.config.timing.heartbeat;
        if (member != nullptr && member->syncs() && peer.has_acked && fresh) nodes.push_back(node);
    }
    return nodes;
}

void Holder::on_tick(Instant now, Actions& out) {
    if (!active() || phase_ == HolderPhase::releasing) return;
    // The first renewal comes with the barrier: it begins the lease.
    if (barrier_ != Lsn(0) && now >= next_renew_) renew(now, out);
    recompute_lease(now);
    recompute_committed(now, out);
    set_gate(now, out);
    tend_log(now, out);
}

Instant Holder::deadline(Instant now) const {
    if (!active() || phase_ == HolderPhase::releasing) return Instant{INT64_MAX};
    Instant due = barrier_ == Lsn(0) ? now + standing_.config.timing.heartbeat : next_renew_;
    if (gate_.state == GateState::open) due = std::min(due, gate_.until);
    if (phase_ == HolderPhase::draining) due = std::min(due, drain_until_);
    return due;
}

void Holder::check_invariants() const {
    if (!active()) return;
    assert(voter_.promised() == epoch());
    assert(phase_ == HolderPhase::releasing || voter_.ballot().released < epoch() ||
           mutant(Mutation::handover_no_release));
    assert(committed_.lsn == Lsn(0) || committed_.epoch == epoch());
    assert(policy_.id.epoch == epoch());
}

}  // namespace tanist::failover
