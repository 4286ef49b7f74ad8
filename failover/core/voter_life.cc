// The voter's start, its ballot on disk, and how a voter that lost its ballot learns better.
#include <algorithm>

#include "failover/core/epoch_parts.h"
#include "failover/core/mutation.h"
#include "failover/core/voter.h"

namespace tanist::failover {
namespace {

// How often a voter without a ballot asks the others.
constexpr Nanos kAskEvery = std::chrono::milliseconds(500);

}  // namespace

Voter::Voter(Standing& standing, VoterStart start, Instant now, uint64_t seed, Actions& out)
    : standing_(standing), ballot_(std::move(start.ballot)), token_(std::move(start.token)) {
    Dice dice(seed);
    ask_nonce_ = dice.next();
    ballot_.node = standing.self();
    const Nanos promise = standing.config.timing.promise;
    if (start.condition == BallotCondition::lost) {
        ballot_.lost = ballot_.suspect = true;
    } else if (start.condition == BallotCondition::good) {
        const bool rebooted = ballot_.boot != start.boot;
        if (rebooted && !ballot_.clean_stop && ballot_.acks_unsynced &&
            !mutant(Mutation::received_not_suspect)) {
            ballot_.suspect = true;
        }
        if (mutant(Mutation::vote_amnesia) && ballot_.promised > Epoch(1)) {
            ballot_.promised = Epoch(ballot_.promised.value - 1);
            ballot_.voted = {};
            ballot_.released = {};
            token_.reset();
        }
        // G5: the promise file of this boot says what was promised; without it, all of it might
        // have been.
        if (start.promise && !rebooted) {
            promise_ = start.promise;
            heard_holder_ = now;
        } else if (ballot_.promised > Epoch(0)) {
            withhold_until_ = now + promise;
        }
        if (mutant(Mutation::forget_promise)) {
            promise_.reset();
            withhold_until_ = now;
        }
    }
    if (token_ && token_->epoch() > ballot_.promised && !ballot_.lost) token_.reset();
    highest_seen_ = std::max(ballot_.promised, token_ ? token_->epoch() : Epoch(0));
    ballot_.boot = start.boot;
    ballot_.clean_stop = false;
    ask_again_ = now;
    promised_serial_ = persist(std::nullopt, out);
    policy_serial_ = promised_serial_;
    if (ballot_.acks_unsynced) unsynced_serial_ = promised_serial_;
}

uint64_t Voter::persist(std::optional<Token> token, Actions& out) {
    ++ballot_.serial;
    ballot_.config = standing_.config;
    ballot_.commit_hint = std::max(ballot_.commit_hint, standing_.log.committed);
    out.push_back(action::Persist{ballot_, std::move(token)});
    return ballot_.serial;
}

void Voter::reply(uint64_t serial, const NodeKey& to, Message message, Actions& out) {
    if (durable(serial)) {
        out.push_back(action::Send{to, std::move(message)});
    } else {
        out.push_back(action::SendAfterPersist{serial, to, std::move(message)});
    }
}

void Voter::on_persisted(uint64_t serial) { durable_serial_ = std::max(durable_serial_, serial); }

void Voter::on_clean_stop(Actions& out) {
    ballot_.clean_stop = true;
    persist(std::nullopt, out);
}

// ---- a lost ballot

void Voter::on_tick(Instant now, Actions& out) {
    if (ballot_.suspect && !ballot_.lost) return ask_for_end(now, out);
    if (!ballot_.lost || now < ask_again_) return;
    ask_again_ = now + kAskEvery;
    for (const NodeKey& voter : standing_.config.voters()) {
        if (voter == standing_.self()) continue;
        out.push_back(action::Send{voter, PromiseAsk{ask_nonce_}});
    }
}

void Voter::on_promise_ask(const NodeKey& from, const PromiseAsk& ask, Actions& out) {
    reply(std::max(promised_serial_, policy_serial_), from,
          PromiseTold{ask.nonce, ballot_.promised, ballot_.policy, ballot_.lost}, out);
}

// Whoever this voter granted an epoch had promised that epoch itself before it asked. So what all
// the others promised bounds what this one did. Others without a ballot may be missing as long as
// they and this one are no majority: then somebody who told granted each token that there is, and
// what one of them asked for votes before it lost its ballot can become no token any more. For
// that, who tells must have been asked since.
void Voter::on_promise_told(const NodeKey& from, const PromiseTold& told, Instant now,
                            Actions& out) {
    if (!ballot_.lost || told.nonce != ask_nonce_) return;
    std::vector<NodeKey>& list = told.lost ? lost_too_ : told_;
    if (std::find(list.begin(), list.end(), from) != list.end()) return;
    std::erase(told.lost ? told_ : lost_too_, from);
    list.push_back(from);
    if (told.lost) return ask_anew(now);
    ballot_.promised = std::max(ballot_.promised, told.promised);
    if (told.policy.id > ballot_.policy.id) ballot_.policy = told.policy;
    if (has_learned()) replace_lost_ballot(now, "what the other voters told", out);
}

void Voter::ask_anew(Instant now) {
    ++ask_nonce_;
    told_.clear();
    ask_again_ = now;
}

bool Voter::has_learned() const {
    std::vector<NodeKey> missing = {standing_.self()};
    for (const NodeKey& voter : standing_.config.voters()) {
        if (voter == standing_.self()) continue;
        if (std::find(told_.begin(), told_.end(), voter) != told_.end()) continue;
        if (std::find(lost_too_.begin(), lost_too_.end(), voter) == lost_too_.end()) return false;
        missing.push_back(voter);
    }
    return missing.size() == 1 || !is_majority(standing_.config, missing);
}

void Voter::replace_lost_ballot(Instant now, const char* by, Actions& out) {
    ballot_.lost = false;
    ballot_.promised = std::max(ballot_.promised, standing_.log.end.position.epoch);
    if (token_ && token_->epoch() < ballot_.promised) token_.reset();
    if (token_) ballot_.promised = token_->epoch();
    highest_seen_ = std::max(highest_seen_, ballot_.promised);
    // It may have promised a lease a moment before it lost the ballot.
    withhold_until_ = std::max(withhold_until_, now + standing_.config.timing.promise);
    promised_serial_ = policy_serial_ = persist(std::nullopt, out);
    out.push_back(action::Report{std::string("the lost ballot is replaced by ") + by});
}

// No candidate can have asked yet for an epoch of a generation that nobody has begun: who promises
// that keeps every promise that it may have forgotten.
Status Voter::take_word(const OperatorWord& word, Instant now, Actions& out) {
    const Epoch known = std::max({word.seen, highest_seen_, standing_.log.end.position.epoch});
    const std::optional<Epoch> fresh = forced_epoch(known, word.nonce);
    if (!fresh) return Error{Errc::refused, "there is no higher epoch left"};
    if (word.log_counts) ballot_.suspect = false;
    if (ballot_.lost) {
        ballot_.promised = std::max(ballot_.promised, *fresh);
        replace_lost_ballot(now, "an operator's word", out);
    } else {
        persist(std::nullopt, out);
    }
    return ok_status();
}

// ---- suspect

void Voter::ask_for_end(Instant now, Actions& out) {
    clear_suspect(out);
    if (!ballot_.suspect || now < ask_again_) return;
    ask_again_ = now + kAskEvery;
    const bool may_ask =
        token_ && token_->epoch() == ballot_.promised && token_->holder() != standing_.self();
    if (!may_ask) return;
    out.push_back(action::Send{token_->holder(), EndAsk{token_->epoch(), ask_nonce_}});
}

// The history of an epoch is what its holder has.
void Voter::on_own_barrier(Position barrier, Actions& out) {
    if (!token_ || token_->holder() != standing_.self()) return;
    told_end_ = {token_->epoch(), barrier.lsn};
    clear_suspect(out);
}

void Voter::on_end_told(const NodeKey& from, const EndTold& told, Actions& out) {
    if (told.nonce != ask_nonce_ || !token_ || token_->holder() != from) return;
    if (told.epoch != token_->epoch()) return;
    told_end_ = {told.epoch, told.end};
    clear_suspect(out);
}

// Its log ends in the holder's epoch, so it is a prefix of the holder's, and it is synced as far as
// the holder's went after this voter had started: whatever a reboot had taken is back.
void Voter::clear_suspect(Actions& out) {
    const LogState& log = standing_.log;
    const bool whole = told_end_.epoch == ballot_.promised && told_end_.epoch > Epoch(0) &&
                       log.end.position.epoch == told_end_.epoch && log.durable >= told_end_.lsn;
    const bool nothing_to_lose = standing_.is_witness();
    if (!ballot_.suspect || ballot_.lost || !(whole || nothing_to_lose)) return;
    ballot_.suspect = false;
    persist(std::nullopt, out);
}

// ---- questions

bool Voter::electable() const {
    const Member* me = standing_.me();
    return me != nullptr && me->syncs() && !me->nofailover && !ballot_.suspect && !ballot_.lost &&
           !ballot_.policy.paused;
}

Instant Voter::campaign_after() const {
    Instant after = std::max(withhold_until_, promise_ends_for(standing_.self(), nullptr));
    if (patience_for_ != standing_.self()) after = std::max(after, patience_until_);
    // Who has just given an epoch up lets the others go first.
    if (release_ && release_->holder == standing_.self() && release_->epoch == ballot_.promised) {
        const Timing& timing = standing_.config.timing;
        after = std::max(
            after, released_at_ +
                       (release_->successor.is_zero() ? timing.promise : timing.handover_window));
    }
    return after;
}

Instant Voter::promise_until() const {
    return std::max(withhold_until_, promise_ ? promise_->until : Instant{0});
}

Instant Voter::withholds_until() const {
    const bool older = promise_ && (!token_ || promise_->epoch != token_->epoch());
    return std::max(withhold_until_, older ? promise_->until : Instant{0});
}

Instant Voter::deadline() const {
    return ballot_.lost || ballot_.suspect ? ask_again_ : Instant{INT64_MAX};
}

}  // namespace tanist::failover
