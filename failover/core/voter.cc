#include "failover/core/voter.h"

#include <algorithm>
#include <cassert>

#include "failover/core/mutation.h"

namespace tanist::failover {
namespace {

// A vote and the barrier behind it take some rounds; from a pre-vote to the vote, fewer.
constexpr int kGrantPatienceRounds = 10;
constexpr int kEncouragedRounds = 2;

}  // namespace

// ---- a request for a vote: rules G1 to G8

Voter::Verdict Voter::judge(const NodeKey& from, const VoteAsk& ask, Instant now) const {
    const GrantTerms& terms = ask.terms;
    const Config& config = standing_.config;
    if (ballot_.lost) return {RefuseReason::lost_ballot};

    // G1  The candidate is who it says, holds data that counts, and may be elected.
    const Member* candidate = config.find(from);
    if (terms.cluster != config.cluster || terms.group != config.group || terms.candidate != from ||
        candidate == nullptr || !candidate->syncs()) {
        return {RefuseReason::not_electable};
    }
    if (by_operator(terms.kind)) {
        if (!ask.order || ask.order->kind != terms.kind || ask.order->target != from ||
            !verify(*ask.order, config, standing_.signer).ok()) {
            return {RefuseReason::not_electable};
        }
    } else if (candidate->nofailover) {
        return {RefuseReason::not_electable};
    }

    // G2  A new epoch, or the very vote that was given before.
    const Vote vote{terms.epoch, from, terms.nonce};
    const bool again = terms.epoch == ballot_.promised && vote == ballot_.voted;
    if (terms.epoch < ballot_.promised || (terms.epoch == ballot_.promised && !again)) {
        return {RefuseReason::stale};
    }

    // A hand-over stands on the former holder's word: its epoch is the newest that this voter
    // knows of, and the candidate has all of its log.
    if (terms.kind == VoteKind::handover && !again) {
        const bool good = ask.release && ask.release->epoch == ballot_.promised &&
                          is_covered(*ask.release, terms) &&
                          verify(*ask.release, config, standing_.signer).ok();
        if (!good) return {RefuseReason::stale};
    }

    // G3  The candidate knows the config that this voter knows.
    if (terms.config < config.id) return {RefuseReason::config};

    // A forced promotion is asked of nobody but the node that the operator names, and the
    // operator's word replaces the rest.
    if (terms.kind == VoteKind::forced) {
        if (from != standing_.self()) return {RefuseReason::not_electable};
        return {};
    }

    // Pausing stops what nobody asked for, not a hand-over under way.
    const bool unasked = terms.kind == VoteKind::automatic || terms.kind == VoteKind::lossy;
    if (unasked && ballot_.policy.paused) return {RefuseReason::paused};

    // G5  After a start, whatever may have been promised before has run out.
    if (now < withhold_until_) return {RefuseReason::restarted, withhold_until_ - now};

    // G4  No live promise to another holder.
    const Instant free = promise_ends_for(from, ask.release ? &*ask.release : nullptr);
    if (now < free) return {RefuseReason::lease, free - now};

    // G6  The candidate's log goes at least as far as what this voter holds or has heard of.
    if (log_forbids(terms.base)) return {RefuseReason::log};

    if (terms.kind == VoteKind::lossy) {
        const uint64_t end = holder_end_.lsn.value, base = terms.base.position.lsn.value;
        const uint64_t loss = end > base ? end - base : 0;
        if (loss > config.lag_max_on_failover) return {RefuseReason::lag};
    }
    return {};
}

// When the promise to another holder no longer stands in `from`'s way. `shown`: a certificate that
// came with the request; this voter may not have it.
Instant Voter::promise_ends_for(const NodeKey& from, const ReleaseCert* shown) const {
    if (!promise_ || promise_->holder == from) return Instant{0};
    const Config& config = standing_.config;
    Instant ends = promise_->until;

    // The holder of that promise has stopped for good, and says so.
    const auto frees = [&](const ReleaseCert& cert) {
        return cert.epoch == promise_->epoch && cert.holder == promise_->holder;
    };
    if (release_ && frees(*release_)) {
        const bool first = release_->successor.is_zero() || release_->successor == from;
        ends = std::min(ends, released_at_ + (first ? Nanos(0) : config.timing.handover_window));
    } else if (shown != nullptr && frees(*shown) && shown->successor == from &&
               verify(*shown, config, standing_.signer).ok()) {
        ends = Instant{0};
    }
    // writes_only: acknowledgements alone protect writes; three silent heartbeats are enough.
    if (config.lease_mode == LeaseMode::writes_only) {
        ends = std::min(ends, heard_holder_ + 3 * config.timing.heartbeat);
    }
    return ends;
}

bool Voter::log_forbids(const LogPoint& base) const {
    if (mutant(Mutation::no_log_check)) return false;
    if (standing_.is_witness()) return base.position < ballot_.commit_hint;
    if (mutant(Mutation::lsn_only)) return base.position.lsn < standing_.log.end.position.lsn;
    return base.position < standing_.log.end.position;  // epoch first, then LSN
}

void Voter::on_vote_ask(const NodeKey& from, const VoteAsk& ask, Instant now, Actions& out) {
    if (!ask.pre) highest_seen_ = std::max(highest_seen_, ask.terms.epoch);
    if (ask.release) on_release(*ask.release, now);
    Verdict verdict = judge(from, ask, now);
    if (ask.pre && !verdict.refused && !is_in_turn(ask, now)) {
        verdict = {RefuseReason::lease, patience_until_ - now};
    }
    if (verdict.refused) {
        refuse(from, ask.terms.epoch, ask.terms.nonce, ask.pre, verdict, out);
    } else if (ask.pre) {
        // A pre-vote keeps nothing on disk and signs nothing.
        encourage(ask, now);
        out.push_back(
            action::Send{from, PreGrant{ask.terms.epoch, ask.terms.nonce, counts_as_data(),
                                        ballot_.policy, ballot_.promised}});
    } else {
        grant(from, ask, now, out);
    }
}

namespace {

Heir heir_in(const VoteAsk& ask, const Config& config) {
    const Member* member = config.find(ask.terms.candidate);
    return {ask.terms.base.position, member->priority, member->node};
}

}  // namespace

// Not a rule of safety. Who was just granted a vote, or just became holder, is left the time to be
// heard of, so that candidates do not overtake each other for ever. Who was only encouraged by a
// pre-vote makes way for a better heir, so that of two who ask at once exactly one goes on.
bool Voter::is_in_turn(const VoteAsk& ask, Instant now) const {
    if (now >= patience_until_ || ask.terms.candidate == patience_for_) return true;
    return encouraged_ && heir_in(ask, standing_.config).goes_before(*encouraged_);
}

// Once in each candidacy, or one that cannot win would keep the others from trying.
void Voter::encourage(const VoteAsk& ask, Instant now) {
    const bool first =
        std::exchange(encouraged_at_[ask.terms.candidate], ask.terms.nonce) != ask.terms.nonce;
    if (!first || (now < patience_until_ && !encouraged_)) return;
    be_patient(ask.terms.candidate, now + kEncouragedRounds * standing_.config.timing.round);
    encouraged_ = heir_in(ask, standing_.config);
}

// G8  Promise and vote are durable before the grant leaves. From here on the lower epochs are over.
void Voter::grant(const NodeKey& to, const VoteAsk& ask, Instant now, Actions& out) {
    const Vote vote{ask.terms.epoch, to, ask.terms.nonce};
    if (vote != ballot_.voted) {
        promise_epoch(ask.terms.epoch);
        ballot_.voted = vote;
        promised_serial_ = persist(std::nullopt, out);
    }
    promise_.reset();  // a grant begins no lease: only the holder's first renewal does
    be_patient(to, now + kGrantPatienceRounds * standing_.config.timing.round);
    const Grant grant = make_grant(ask.terms, counts_as_data(), ballot_.policy, standing_.signer);
    reply(promised_serial_, to, VoteGrant{ask.terms.epoch, ask.terms.nonce, grant}, out);
}

// G7  A suspect voter, or one whose log does not count, is counted for the majority only.
bool Voter::counts_as_data() const {
    const Member* me = standing_.me();
    return me != nullptr && me->syncs() && !ballot_.suspect && !ballot_.lost;
}

void Voter::refuse(const NodeKey& to, Epoch epoch, uint64_t nonce, bool pre, const Verdict& verdict,
                   Actions& out) {
    Refuse refuse;
    refuse.epoch = epoch;
    refuse.nonce = nonce;
    refuse.pre = pre;
    refuse.reason = *verdict.refused;
    refuse.promised = ballot_.promised;
    refuse.end = standing_.log.end.position;
    refuse.config = standing_.config.id;
    refuse.remaining = verdict.remaining;
    if (refuse.reason == RefuseReason::stale && token_ && token_->epoch() > epoch) {
        refuse.token = token_;
    }
    // It may tell of a promise: that must be one that is kept.
    reply(promised_serial_, to, std::move(refuse), out);
}

// ---- the epoch test, and what a holder asks

bool Voter::same_epoch(const NodeKey& from, Epoch epoch, Actions& out) {
    highest_seen_ = std::max(highest_seen_, epoch);
    if (ballot_.lost) {
        refuse(from, epoch, 0, false, {RefuseReason::lost_ballot}, out);
        return false;
    }
    if (epoch < ballot_.promised) {
        refuse(from, epoch, 0, false, {RefuseReason::stale}, out);
        return false;
    }
    if (!token_ || token_->epoch() != epoch) {
        refuse(from, epoch, 0, false, {RefuseReason::need_token}, out);
        return false;
    }
    return token_->holder() == from;
}

Voter::Admission Voter::admit(Epoch epoch, const NodeKey& from) const {
    if (epoch < ballot_.promised) return Admission::stale;
    if (ballot_.lost || !token_ || token_->epoch() != epoch || token_->holder() != from) {
        return Admission::need_token;
    }
    return durable(promised_serial_) ? Admission::take : Admission::not_yet;
}

bool Voter::may_ack(Epoch epoch) const {
    if (ballot_.lost || !token_) return false;
    if (mutant(Mutation::ack_late)) return true;
    return ballot_.promised == epoch && token_->epoch() == epoch && durable(promised_serial_);
}

bool Voter::may_ack_unsynced() const { return ballot_.acks_unsynced && durable(unsynced_serial_); }

void Voter::on_renew(const NodeKey& from, const Renew& renew, Instant now, Actions& out) {
    if (!same_epoch(from, renew.epoch, out)) return;
    const Timing& timing = standing_.config.timing;
    promise_ = Promise{from, renew.epoch, now + timing.promise};
    if (mutant(Mutation::no_margin)) promise_->until = now + timing.lease;
    out.push_back(action::NotePromise{from, renew.epoch, promise_->until});
    heard_holder_ = now;
    end_turn_of(from);  // from here on its promise speaks for it
    holder_end_ = renew.end;
    bool changed = false;
    if (standing_.is_witness()) {
        ballot_.commit_hint = std::max(ballot_.commit_hint, renew.committed);
    }
    if (renew.policy.level == AckLevel::received && !ballot_.acks_unsynced) {
        ballot_.acks_unsynced = changed = true;
    }
    if (changed) {
        const uint64_t serial = persist(std::nullopt, out);
        if (unsynced_serial_ == 0 && ballot_.acks_unsynced) unsynced_serial_ = serial;
    }
    reply(promised_serial_, from, RenewAck{renew.epoch, renew.seq, ballot_.promised}, out);
}

void Voter::on_policy_store(const NodeKey& from, const PolicyStore& store, Actions& out) {
    if (!same_epoch(from, store.epoch, out)) return;
    if (store.policy.id < ballot_.policy.id) return;  // late: a newer one is stored here
    if (store.policy.id > ballot_.policy.id) {
        ballot_.policy = store.policy;
        policy_serial_ = persist(std::nullopt, out);
    }
    reply(std::max(policy_serial_, promised_serial_), from,
          PolicyStored{store.epoch, store.policy.id}, out);
}

void Voter::on_release(const ReleaseCert& cert, Instant now) {
    if (release_ && release_->epoch >= cert.epoch) return;
    if (!token_ || token_->epoch() != cert.epoch || token_->holder() != cert.holder) return;
    if (!verify(cert, standing_.config, standing_.signer).ok()) return;
    release_ = cert;
    released_at_ = now;
    patience_until_ = Instant{0};
}

// ---- tokens

Status Voter::adopt(const Token& token, Actions& out) {
    if (token_ && token_->epoch() == token.epoch()) {
        if (token_->holder() == token.holder()) return ok_status();
        // A member alone must not be able to raise it.
        TANIST_TRY(verify(token, standing_.config, standing_.signer));
        // T2: some voter signed twice. Nothing that this node does could make it right again.
        out.push_back(action::Report{
            "ALARM: two tokens for epoch " + std::to_string(token.epoch().value) + ", held by " +
            to_string(token_->holder()) + " and " + to_string(token.holder())});
        return Error{Errc::refused, "another token of this epoch is known"};
    }
    if (token.epoch() < ballot_.promised) {
        return Error{Errc::stale_epoch, "a higher epoch is promised"};
    }
    if (ballot_.lost) return Error{Errc::refused, "the ballot is lost"};
    TANIST_TRY(verify(token, standing_.config, standing_.signer));
    const bool higher = token.epoch() > ballot_.promised;
    if (higher) promise_epoch(token.epoch());
    token_ = token;
    highest_seen_ = std::max(highest_seen_, token.epoch());
    const uint64_t serial = persist(token, out);
    if (higher) promised_serial_ = serial;
    return ok_status();
}

void Voter::promise_epoch(Epoch epoch) {
    assert(epoch >= ballot_.promised);
    ballot_.promised = epoch;
    highest_seen_ = std::max(highest_seen_, epoch);
    // The promise to a holder of a lower epoch ends with that epoch's end here, not before: a
    // grant was only given because it had run out or was released, and a token proves a majority.
    if (promise_ && promise_->epoch < epoch) promise_.reset();
}

void Voter::promise_to_self(Epoch epoch, Instant until, Instant now) {
    if (ballot_.promised != epoch) return;
    promise_ = Promise{standing_.self(), epoch, until};
    heard_holder_ = now;
}

uint64_t Voter::release_own(Epoch epoch, Actions& out) {
    ballot_.released = std::max(ballot_.released, epoch);
    promise_.reset();
    return persist(std::nullopt, out);
}

void Voter::check_invariants() const {
    assert(ballot_.voted.epoch <= ballot_.promised);
    assert(ballot_.released <= ballot_.promised);
    assert(!token_ || token_->epoch() <= ballot_.promised || ballot_.lost);
    assert(durable_serial_ <= ballot_.serial);
}

}  // namespace tanist::failover
