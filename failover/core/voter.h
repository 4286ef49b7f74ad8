// The voter: promises and grants. Rules G1 to G8, the epoch test of A1, the ack rule A3.
//
//   message            e < promised       e == promised            e > promised
//   VoteAsk            refuse(stale)      the same vote again,     rules G1 to G7, then promise e,
//                                         else refuse(stale)       persist, grant
//   Renew, PolicyStore refuse(stale       with e's token: promise, refuse(need_token)
//   and records         and the token)    store, take
//   Announce(token)    answer the newer   keep the token           verify, promise e, persist
//
// Invariants, across crashes: promised never decreases (S2); one candidate per epoch (S3); no ack
// for e once promised > e (S4); no grant while a lease that it supports may be alive (L2, L3).
//
// Not thread-safe; Node owns it. Emits no error: a ballot that cannot be written stops the node.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "failover/core/action.h"
#include "failover/core/standing.h"

namespace tanist::failover {

struct Promise {
    NodeKey holder;
    Epoch epoch;
    Instant until{0};
    bool operator==(const Promise&) const = default;
};

struct VoterStart {
    Ballot ballot;  // of a fresh node: only node, config and boot are set
    BallotCondition condition = BallotCondition::fresh;
    BootId boot;                     // now
    std::optional<Token> token;      // of the token file
    std::optional<Promise> promise;  // of the promise file, if it was written in this boot
};

// An operator's word in place of what this voter cannot find out any more.
struct OperatorWord {
    Epoch seen;          // the highest epoch that anybody who answers knows
    uint16_t nonce = 0;  // of the generation that is promised where the ballot is lost
    // Its log counts as it is. False: it only votes again, for the majority.
    bool log_counts = false;
};

class Voter {
  public:
    // `standing` must outlive the voter.
    Voter(Standing& standing, VoterStart start, Instant now, uint64_t seed, Actions& out);

    void on_vote_ask(const NodeKey& from, const VoteAsk& ask, Instant now, Actions& out);
    void on_renew(const NodeKey& from, const Renew& renew, Instant now, Actions& out);
    void on_policy_store(const NodeKey& from, const PolicyStore& store, Actions& out);
    void on_release(const ReleaseCert& cert, Instant now);
    void on_promise_ask(const NodeKey& from, const PromiseAsk& ask, Actions& out);
    void on_promise_told(const NodeKey& from, const PromiseTold& told, Instant now, Actions& out);
    void on_end_told(const NodeKey& from, const EndTold& told, Actions& out);
    void on_persisted(uint64_t serial);
    // A new token's holder will renew soon.
    void expect_holder(const NodeKey& holder, Instant now) {
        be_patient(holder, now + standing_.config.timing.promise);
    }
    // Whose turn it was has given up, or is heard of no more.
    void end_turn_of(const NodeKey& candidate) {
        if (patience_for_ == candidate) patience_until_ = Instant{0};
    }
    void on_tick(Instant now, Actions& out);
    void on_clean_stop(Actions& out);
    void on_own_barrier(Position barrier, Actions& out);
    // refused: there is no epoch left to promise.
    Status take_word(const OperatorWord& word, Instant now, Actions& out);
    // A token seen anywhere: verified, kept if it is the newest, promised.
    Status adopt(const Token& token, Actions& out);

    // A1, for the data plane: may records of this epoch be taken from this node? `stale` is
    // answered with token(), `need_token` by asking for it; `not_yet` is left to the sender to
    // repeat: the promise is on its way to the disk, and no record may be there before it.
    enum class Admission { take, stale, need_token, not_yet };
    Admission admit(Epoch epoch, const NodeKey& from) const;
    // A3: may an ack for `epoch` leave now? The promise is durable and not exceeded.
    bool may_ack(Epoch epoch) const;
    // Whether acks of level `received` may say more than `durable`: the note that makes an
    // unclean reboot suspect is on disk.
    bool may_ack_unsynced() const;

    // The holder's own promise to itself: as long as its lease.
    void promise_to_self(Epoch epoch, Instant until, Instant now);
    // The durable half of a release (B14 step 3): after it this node is no holder of the epoch.
    // Returns the serial to wait for.
    uint64_t release_own(Epoch epoch, Actions& out);

    Epoch promised() const { return ballot_.promised; }
    Epoch highest_seen() const { return highest_seen_; }
    void saw(Epoch epoch) { highest_seen_ = std::max(highest_seen_, epoch); }
    const Ballot& ballot() const { return ballot_; }
    const std::optional<Token>& token() const { return token_; }
    const std::optional<ReleaseCert>& release() const { return release_; }
    // See GrantTerms::loss_epoch: of a history that continues what this node knows.
    Epoch loss_epoch() const { return token_ ? token_->loss_epoch_after() : Epoch(0); }
    bool durable(uint64_t serial) const { return durable_serial_ >= serial; }
    // May this node itself ask for votes: its own promise and withholding are over, or released.
    bool own_promise_over(Instant now) const { return now >= campaign_after(); }
    Instant campaign_after() const;
    Instant promise_until() const;  // when that will be
    // Until then it votes for nobody, whatever the newest holder releases: a promise that was made
    // before its start, or to a holder before that one, may still bind it.
    Instant withholds_until() const;
    const std::optional<Promise>& promise() const { return promise_; }
    Instant heard_holder() const { return heard_holder_; }
    Position holder_end() const { return holder_end_; }
    bool electable() const;
    Instant deadline() const;
    void check_invariants() const;

  private:
    struct Verdict {
        std::optional<RefuseReason> refused;
        Nanos remaining{0};
    };
    Verdict judge(const NodeKey& from, const VoteAsk& ask, Instant now) const;
    Instant promise_ends_for(const NodeKey& from, const ReleaseCert* shown) const;
    bool log_forbids(const LogPoint& base) const;
    void refuse(const NodeKey& to, Epoch epoch, uint64_t nonce, bool pre, const Verdict& verdict,
                Actions& out);
    bool same_epoch(const NodeKey& from, Epoch epoch, Actions& out);
    void grant(const NodeKey& to, const VoteAsk& ask, Instant now, Actions& out);
    void be_patient(const NodeKey& with, Instant until) {
        patience_for_ = with;
        patience_until_ = until;
        encouraged_.reset();
    }
    bool is_in_turn(const VoteAsk& ask, Instant now) const;
    void encourage(const VoteAsk& ask, Instant now);
    void promise_epoch(Epoch epoch);
    uint64_t persist(std::optional<Token> token, Actions& out);
    void reply(uint64_t serial, const NodeKey& to, Message message, Actions& out);
    bool counts_as_data() const;
    void ask_anew(Instant now);
    bool has_learned() const;
    void replace_lost_ballot(Instant now, const char* by, Actions& out);
    void ask_for_end(Instant now, Actions& out);
    void clear_suspect(Actions& out);

    Standing& standing_;
    Ballot ballot_;
    uint64_t durable_serial_ = 0;
    uint64_t promised_serial_ = 0;  // the ballot that holds this promise
    uint64_t policy_serial_ = 0;
    uint64_t unsynced_serial_ = 0;
    std::optional<Token> token_;  // the newest
    Epoch highest_seen_;          // in any authenticated message
    std::optional<Promise> promise_;
    Instant withhold_until_{0};
    NodeKey patience_for_;  // until then, nobody else is encouraged
    Instant patience_until_{0};
    std::optional<Heir> encouraged_;             // it is the turn of whom a pre-vote encouraged
    std::map<NodeKey, uint64_t> encouraged_at_;  // the nonce of each one's last candidacy
    std::optional<ReleaseCert> release_;
    Instant released_at_{0};
    Instant heard_holder_{0};
    Position holder_end_;
    Position told_end_;  // suspect: where the holder's log ended, after this start
    // While the ballot is lost: who has told us what it promised, and who lost its own.
    std::vector<NodeKey> told_;
    std::vector<NodeKey> lost_too_;
    uint64_t ask_nonce_ = 0;
    Instant ask_again_{0};
};

}  // namespace tanist::failover
