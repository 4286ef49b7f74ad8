// The holder's durability policy (B7). A change is stored at a majority of all voters, under the
// holder's epoch; a majority is enough, because every grant reports the newest policy its voter has
// and any electing majority meets this one.
//
//   weaker     store, then use      storing_weaker --majority--> in force
//   stronger   use, prove, store    proving --a barrier commits--> storing --majority--> stored
//
// While `proving`, nothing of the stronger one is stored: if replicas go again, the weaker one is
// simply used again. Once `storing`, some voter may have it, and the way back is a new weaker one.
#include <algorithm>
#include <cassert>

#include "failover/core/holder.h"
#include "failover/core/mutation.h"

namespace tanist::failover {

void Holder::begin_storing(Policy next, Change change, Instant now, Actions& out) {
    next.id = {epoch(), ++policy_step_};
    next_ = next;
    change_ = change;
    storing_at_.clear();
    resend_ = now;
    if (mutant(Mutation::solo_degrade) && change == Change::storing_weaker) policy_ = next_;
    send_policy(now, out);
}

void Holder::send_policy(Instant now, Actions& out) {
    if (now < resend_) return;
    resend_ = now + standing_.config.timing.heartbeat;
    for (const NodeKey& voter : standing_.config.voters()) {
        if (std::find(storing_at_.begin(), storing_at_.end(), voter) != storing_at_.end()) continue;
        out.push_back(action::Send{voter, PolicyStore{epoch(), next_}});
    }
}

void Holder::on_policy_stored(const NodeKey& from, const PolicyStored& stored, Instant now,
                              Actions& out) {
    const bool expected = change_ == Change::storing_weaker || change_ == Change::storing;
    if (!active() || stored.epoch != epoch() || !expected || stored.id != next_.id) return;
    if (std::find(storing_at_.begin(), storing_at_.end(), from) != storing_at_.end()) return;
    storing_at_.push_back(from);
    if (!is_majority(standing_.config, storing_at_)) return;
    policy_ = stored_ = next_;
    change_ = Change::none;
    out.push_back(action::Report{"policy: " + std::to_string(policy_.k) + " acknowledgements" +
                                 (policy_.paused ? ", failover paused" : "")});
    recompute_committed(now, out);
}

// How many acknowledgements could be had now.
uint8_t Holder::k_reachable(Instant now) const {
    return static_cast<uint8_t>(std::min<size_t>(reachable(now).size(), k_max(standing_.config)));
}

bool Holder::may_strengthen(Instant now) const {
    const uint8_t k = standing_.config.sync_k;
    size_t caught_up = 0;
    for (const NodeKey& node : reachable(now)) {
        caught_up += peers_.at(node).log.durable >= committed_.lsn;
    }
    return caught_up >= k;
}

void Holder::tend_change(Instant now, Actions& out) {
    const Config& config = standing_.config;
    const bool changing_to_weaker = change_ == Change::storing_weaker;
    // What this node has synced itself waits for replicas.
    const bool blocked = committed_.lsn < standing_.log.durable &&
                         now >= blocked_since_ + config.timing.degrade_after;
    if (blocked && barrier_ != Lsn(0) && !changing_to_weaker && policy_.k > 0 &&
        config.on_unavailable == OnUnavailable::degrade) {
        if (change_ == Change::proving) {  // nothing stronger was stored: back to what is
            policy_ = stored_;
            change_ = Change::none;
            return recompute_committed(now, out);
        }
        Policy weaker = policy_;
        weaker.k = std::min<uint8_t>(k_reachable(now), static_cast<uint8_t>(policy_.k - 1));
        return begin_storing(weaker, Change::storing_weaker, now, out);
    }
    switch (change_) {
        case Change::none:
            if (phase_ == HolderPhase::open) tend_strength(now, out);
            return;
        case Change::proving:
            if (proof_ == Lsn(0) || committed_.lsn < proof_) return;
            return begin_storing(policy_, Change::storing, now, out);
        case Change::storing_weaker:
        case Change::storing:
            return send_policy(now, out);
    }
}

void Holder::tend_strength(Instant now, Actions& out) {
    const Config& config = standing_.config;
    if (policy_.k < config.sync_k && may_strengthen(now)) {
        if (mutant(Mutation::strengthen_early)) {
            Policy stronger = policy_;
            stronger.k = config.sync_k;
            return begin_storing(stronger, Change::storing, now, out);
        }
        policy_.k = config.sync_k;  // used for acks first
        change_ = Change::proving;
        proof_ = Lsn(0);
        blocked_since_ = now;
        out.push_back(action::AppendBarrier{});
        return;
    }
    if (policy_.k > config.sync_k || policy_.level > config.level) {
        Policy weaker = policy_;
        weaker.k = std::min(weaker.k, config.sync_k);
        weaker.level = std::min(weaker.level, config.level);
        return begin_storing(weaker, Change::storing_weaker, now, out);
    }
    // An earlier epoch stored a weaker one. This epoch's barrier was committed under the
    // configured one, which proves it.
    const bool differs = stored_.k != policy_.k || stored_.level != policy_.level;
    if (differs && stored_.id.epoch < epoch()) begin_storing(policy_, Change::storing, now, out);
}

Status Holder::set_paused(bool paused, Instant now, Actions& out) {
    if (phase_ != HolderPhase::open) return Error{Errc::refused, "this node is not the primary"};
    if (change_ != Change::none) return Error{Errc::busy, "another policy change is under way"};
    Policy next = policy_;
    next.paused = paused;
    begin_storing(next, Change::storing_weaker, now, out);
    return ok_status();
}

}  // namespace tanist::failover
