#include "failover/core/candidate.h"

#include <algorithm>

#include "failover/core/epoch_parts.h"

namespace tanist::failover {
namespace {

constexpr int kRestDoublings = 5;
// A vote that has no quorum after so many rounds has failed.
constexpr int kVoteRounds = 10;

}  // namespace

const char* to_string(CandidatePhase phase) {
    switch (phase) {
        case CandidatePhase::idle:
            return "idle";
        case CandidatePhase::delaying:
            return "delaying";
        case CandidatePhase::asking:
            return "asking";
        case CandidatePhase::promising:
            return "promising";
        case CandidatePhase::voting:
            return "voting";
        case CandidatePhase::resting:
            return "resting";
    }
    return "?";
}

Candidate::Candidate(Standing& standing, Voter& voter, uint64_t seed)
    : standing_(standing), voter_(voter), dice_(seed) {}

// A disk that hangs, or a promise that lives, is no start for a primacy.
bool Candidate::may_campaign(Instant now) const {
    const bool sound = standing_.log.whole && standing_.log.writable;
    return voter_.electable() && sound && voter_.own_promise_over(now) &&
           now < standing_.progress + standing_.config.timing.lease;
}

// The certificate that frees the voters from their promise to the newest holder known here.
std::optional<ReleaseCert> Candidate::current_release() const {
    const auto& release = voter_.release();
    const Epoch newest = std::max(voter_.promised(), voter_.highest_seen());
    if (!release || release->epoch != newest) return std::nullopt;
    return release;
}

VoteKind Candidate::automatic_kind() const {
    const std::optional<ReleaseCert> release = current_release();
    if (release && standing_.log.end.position >= release->final.position) {
        return VoteKind::handover;
    }
    const Config& config = standing_.config;
    return config.lag_max_on_failover > 0 ? VoteKind::lossy : VoteKind::automatic;
}

// One round for each electable member that would be the better heir. The silent holder is none;
// whose log's end was not seen in this election is taken to be as far as this node.
Nanos Candidate::rank_delay(Instant now) const {
    const Timing& timing = standing_.config.timing;
    const Heir me{standing_.log.end.position, standing_.me()->priority, standing_.self()};
    int rank = 0;
    for (const Member& member : standing_.config.members) {
        const bool silent = voter_.token() && voter_.token()->holder() == member.node;
        if (member.node == me.node || silent || !member.syncs() || member.nofailover) continue;
        const auto seen = ends_.find(member.node);
        const bool known =
            seen != ends_.end() && now < seen->second.at + kVoteRounds * timing.round;
        const Heir other{known ? seen->second.end : me.end, member.priority, member.node};
        rank += other.goes_before(me) ? 1 : 0;
    }
    return rank * timing.round;
}

void Candidate::on_tick(Instant now, Actions& out) {
    const bool by_hand = ask_.order.has_value();
    switch (phase_) {
        case CandidatePhase::idle:
            if (!may_campaign(now)) return;
            phase_ = CandidatePhase::delaying;
            next_ = now + rank_delay(now);
            return;
        case CandidatePhase::delaying:
        case CandidatePhase::resting:
            if (!by_hand && !may_campaign(now)) return stop();
            if (now >= next_) by_hand ? begin_vote(now, out) : begin_round(now, out);
            return;
        case CandidatePhase::asking:
            if (!may_campaign(now)) return stop();
            if (now >= next_) begin_round(now, out);
            return;
        case CandidatePhase::promising:
            if (now >= give_up_) rest(now);
            return;
        case CandidatePhase::voting:
            if (now >= give_up_ || voter_.promised() != ask_.terms.epoch) {
                rest(now);
            } else if (now >= next_) {
                next_ = now + standing_.config.timing.round;
                ask_all(out);
            }
            return;
    }
}

GrantTerms Candidate::terms_for(Epoch epoch) {
    GrantTerms terms;
    terms.cluster = standing_.config.cluster;
    terms.group = standing_.config.group;
    terms.epoch = epoch;
    terms.candidate = standing_.self();
    terms.nonce = dice_.next();
    terms.config = standing_.config.id;
    terms.base = standing_.log.end;
    terms.kind = automatic_kind();
    terms.loss_epoch = voter_.loss_epoch();
    return terms;
}

// Pre-vote: asks until a quorum would. No epoch is used up, so two candidates cannot keep each
// other from winning, and a node that only lost its own link disturbs nobody.
void Candidate::begin_round(Instant now, Actions& out) {
    const std::optional<Epoch> epoch =
        next_epoch(std::max(voter_.promised(), voter_.highest_seen()));
    if (!epoch) return stop();
    const Timing& timing = standing_.config.timing;
    const bool same = phase_ == CandidatePhase::asking && ask_.terms.epoch == *epoch &&
                      ask_.terms.base == standing_.log.end && ask_.terms.kind == automatic_kind() &&
                      now < give_up_;
    if (!same) {
        would_.clear();
        refusals_.clear();
        ask_ = VoteAsk{};
        ask_.pre = true;
        ask_.terms = terms_for(*epoch);
        give_up_ = now + kVoteRounds * timing.round;
    }
    ask_.release = current_release();
    // Nobody answers a node that is alone; it asks less and less often.
    unanswered_ = answered_ ? 0 : std::min(unanswered_ + 1, 6);
    answered_ = false;
    phase_ = CandidatePhase::asking;
    next_ = now + std::min<Nanos>(timing.round * (1 << std::max(0, unanswered_ - 2)),
                                  std::max(timing.round, timing.heartbeat));
    ask_all(out);
}

// The vote: first for itself, durably; the others are asked when that has come back.
void Candidate::begin_vote(Instant now, Actions& out) {
    const std::optional<Epoch> epoch =
        next_epoch(std::max(voter_.promised(), voter_.highest_seen()));
    if (!epoch) return stop();
    ask_.pre = false;
    ask_.release = current_release();
    ask_.terms = terms_for(*epoch);
    if (ask_.order) {
        ask_.terms.kind = ask_.order->kind;
        if (ask_.order->kind == VoteKind::forced || ask_.order->epoch > *epoch) {
            ask_.terms.epoch = ask_.order->epoch;
        }
    }
    token_ = Token{ask_.terms, {}, {}, ask_.order};
    if (ask_.terms.kind == VoteKind::handover) token_.release = ask_.release;
    refusals_.clear();
    phase_ = CandidatePhase::promising;
    give_up_ =
        now + kVoteRounds * standing_.config.timing.round + standing_.config.timing.heartbeat;
    out.push_back(action::Send{standing_.self(), ask_});
}

void Candidate::ask_all(Actions& out) {
    for (const NodeKey& voter : standing_.config.voters()) {
        if (!ask_.pre && voter == standing_.self()) continue;
        out.push_back(action::Send{voter, ask_});
    }
}

bool Candidate::would_have_quorum() const {
    Token token{ask_.terms, {}, {}, {}};
    for (const auto& [voter, grant] : would_) token.grants.push_back(grant);
    return has_quorum(token, standing_.config);
}

// Who voted for another in this epoch cannot vote for this node; all others still may.
bool Candidate::can_still_win() const {
    Token token = token_;
    for (const NodeKey& voter : standing_.config.voters()) {
        const auto same = [&](const Grant& grant) { return grant.voter == voter; };
        const auto refused = refusals_.find(voter);
        if (refused != refusals_.end() && refused->second == RefuseReason::stale) continue;
        if (std::any_of(token.grants.begin(), token.grants.end(), same)) continue;
        token.grants.push_back({voter, standing_.config.find(voter)->syncs(), {}, {}});
    }
    return has_quorum(token, standing_.config);
}

void Candidate::on_pre_grant(const NodeKey& from, const PreGrant& grant, Instant now,
                             Actions& out) {
    answered_ = true;
    if (phase_ != CandidatePhase::asking || grant.nonce != ask_.terms.nonce) return;
    would_[from] = Grant{from, grant.is_data, grant.policy, {}};
    refusals_.erase(from);
    if (would_have_quorum() && may_campaign(now)) begin_vote(now, out);
}

void Candidate::on_grant(const NodeKey& from, const VoteGrant& grant, Instant now, Actions& out) {
    const bool mine = grant.epoch == ask_.terms.epoch && grant.nonce == ask_.terms.nonce &&
                      grant.grant.voter == from;
    if (!mine || ask_.pre) return;
    const bool self = from == standing_.self();
    if (phase_ == CandidatePhase::promising && self) {
        phase_ = CandidatePhase::voting;
        next_ = now + standing_.config.timing.round;
        token_.grants = {grant.grant};
        if (ask_.terms.kind != VoteKind::forced) ask_all(out);
    } else if (phase_ == CandidatePhase::voting && !self) {
        for (const Grant& known : token_.grants) {
            if (known.voter == from) return;
        }
        const Bytes bytes = signed_bytes(ask_.terms, grant.grant);
        if (!standing_.signer.verify(from, bytes, grant.grant.signature)) return;
        token_.grants.push_back(grant.grant);
    } else {
        return;
    }
    if (!has_quorum(token_, standing_.config)) return;
    won_ = std::move(token_);
    stop();
}

void Candidate::on_refuse(const NodeKey& from, const Refuse& refuse, Instant now) {
    answered_ = true;
    voter_.saw(refuse.promised);
    if (phase_ == CandidatePhase::idle || refuse.nonce != ask_.terms.nonce) return;
    refusals_[from] = refuse.reason;
    would_.erase(from);
    const Nanos round = standing_.config.timing.round;
    if (refuse.pre) {
        // It says when it would not refuse for that reason any more.
        const bool soon = phase_ == CandidatePhase::asking && refuse.remaining > Nanos(0);
        if (soon) next_ = std::min(next_, now + std::max(refuse.remaining, round / 10));
        return;
    }
    const bool voting = phase_ == CandidatePhase::promising || phase_ == CandidatePhase::voting;
    const bool own = from == standing_.self();
    if (voting && own && refuse.remaining > Nanos(0) && ask_.order && now < order_until_) {
        // An operator who comes early waits for this node's own promise, and not longer.
        phase_ = CandidatePhase::resting;
        next_ = now + refuse.remaining;
        return;
    }
    const bool lost = refuse.promised > ask_.terms.epoch || own;
    if (voting && (lost || !can_still_win())) rest(now);
}

void Candidate::on_end_seen(const NodeKey& of, Position end, Instant now) {
    ends_[of] = {end, now};
}

void Candidate::campaign_with(const ReleaseCert& cert, Instant now, Actions& out) {
    if (cert.successor != standing_.self() || !voter_.electable() || !standing_.log.whole ||
        phase_ >= CandidatePhase::promising) {
        return;
    }
    ask_ = VoteAsk{};
    begin_vote(now, out);
}

void Candidate::campaign_with(const OperatorCert& order, Instant now, Actions& out) {
    ask_ = VoteAsk{};
    ask_.order = order;
    const Timing& timing = standing_.config.timing;
    order_until_ = now + timing.promise + timing.lease;
    begin_vote(now, out);
}

// A failed vote: wait, the better heir less, and a random while, so that two candidates do not
// collide again.
void Candidate::rest(Instant now) {
    ++failures_;
    voter_.end_turn_of(standing_.self());
    // An order is tried for as long as a promise may stand in its way, then left to the operator.
    if (ask_.order && now >= order_until_) return stop();
    phase_ = CandidatePhase::resting;
    const Nanos round = standing_.config.timing.round;
    const Nanos spread = dice_.between(round / 2, 2 * round);
    next_ = now + rank_delay(now) + spread * (1 << std::min(failures_ - 1, kRestDoublings));
}

void Candidate::stop() {
    phase_ = CandidatePhase::idle;
    ask_ = VoteAsk{};
    would_.clear();
    failures_ = 0;
    unanswered_ = 0;
}

std::optional<Token> Candidate::take_token() { return std::exchange(won_, std::nullopt); }

Instant Candidate::deadline(Instant now) const {
    switch (phase_) {
        case CandidatePhase::idle:
            if (!voter_.electable()) return Instant{INT64_MAX};
            // Over, and yet idle: the log's disk makes no progress. Look again.
            return voter_.own_promise_over(now) ? now + standing_.config.timing.heartbeat
                                                : voter_.campaign_after();
        case CandidatePhase::promising:
            return give_up_;
        case CandidatePhase::voting:
            return std::min(next_, give_up_);
        default:
            return next_;
    }
}

}  // namespace tanist::failover
