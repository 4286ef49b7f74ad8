// The candidate: asks for votes until it has a token, or until somebody else has one.
//
//   idle --may campaign--> delaying --rank delay--> asking (pre-vote)
//   asking --nobody new within a retry--> asking again      --quorum would--> promising
//   promising --own vote durable--> voting --quorum--> (won) idle
//   voting --lost, or no quorum in time--> resting --a round or two, then more--> delaying
//   promising, by an order --own promise lives--> resting --its end--> promising
//   any --higher promise, a holder is heard, stop()--> idle
//
// With a ReleaseCert that names it, or an operator's order, it begins at promising: nobody's
// promise has to be waited for.
//
// Not thread-safe; Node owns it.
#pragma once

#include <map>
#include <optional>

#include "failover/core/action.h"
#include "failover/core/standing.h"
#include "failover/core/voter.h"

namespace tanist::failover {

enum class CandidatePhase { idle, delaying, asking, promising, voting, resting };
const char* to_string(CandidatePhase phase);

class Candidate {
  public:
    // `standing` and `voter` must outlive it.
    Candidate(Standing& standing, Voter& voter, uint64_t seed);

    void on_tick(Instant now, Actions& out);
    void on_pre_grant(const NodeKey& from, const PreGrant& grant, Instant now, Actions& out);
    void on_grant(const NodeKey& from, const VoteGrant& grant, Instant now, Actions& out);
    void on_refuse(const NodeKey& from, const Refuse& refuse, Instant now);
    // Another member's log end, learned from any message.
    void on_end_seen(const NodeKey& of, Position end, Instant now);
    void campaign_with(const ReleaseCert& cert, Instant now, Actions& out);
    void campaign_with(const OperatorCert& order, Instant now, Actions& out);
    void stop();  // a holder is heard, or this node is one

    // The token, once; then it is idle.
    std::optional<Token> take_token();
    CandidatePhase phase() const { return phase_; }
    // What the last round missed, by voter: for `explain`.
    const std::map<NodeKey, RefuseReason>& refusals() const { return refusals_; }
    Instant deadline(Instant now) const;

  private:
    GrantTerms terms_for(Epoch epoch);
    void begin_round(Instant now, Actions& out);
    void begin_vote(Instant now, Actions& out);
    void ask_all(Actions& out);
    void rest(Instant now);
    bool would_have_quorum() const;
    bool can_still_win() const;
    bool may_campaign(Instant now) const;
    Nanos rank_delay(Instant now) const;
    VoteKind automatic_kind() const;
    std::optional<ReleaseCert> current_release() const;

    Standing& standing_;
    Voter& voter_;
    Dice dice_;
    CandidatePhase phase_ = CandidatePhase::idle;
    VoteAsk ask_;
    Token token_;  // in the making
    std::optional<Token> won_;
    std::map<NodeKey, Grant> would_;  // pre-votes; the signatures are empty
    std::map<NodeKey, RefuseReason> refusals_;
    struct SeenEnd {
        Position end;
        Instant at{0};
    };
    std::map<NodeKey, SeenEnd> ends_;
    Instant next_{0};         // when the phase acts by itself
    Instant give_up_{0};      // voting: when the round has failed
    Instant order_until_{0};  // an order is tried until then
    int failures_ = 0;        // real votes lost in a row
    int unanswered_ = 0;      // pre-vote rounds in a row that nobody answered
    bool answered_ = false;
};

}  // namespace tanist::failover
