// The checkers: what must be true of the whole cluster, seen from outside, at every step. Each
// invariant has the name that docs/failover.md gives it. A breach is remembered once, the first.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "failover/core/action.h"
#include "tests/sim/sim_log.h"
#include "tests/sim/swarm.h"

namespace tanist::sim {

struct NodeFacts {  // of one node, right now
    int number = 0;
    bool up = false;
    bool frozen = false;  // its virtual machine stands still
    Instant local;
    const SimLog* log = nullptr;
    failover::Gate gate;
    Nanos guard{0};
};

class Oracle {
  public:
    explicit Oracle(const Swarm& swarm);

    void fail(const std::string& invariant, const std::string& what);
    const std::optional<std::string>& breach() const { return breach_; }

    // S1, S7, S16, T1: a token is used; `log` is its holder's, before the barrier.
    void on_token(const failover::Token& token, const SimLog& log, const failover::Signer& signer);
    // S3, S14, S15: a voter's signed grant leaves it. `lacks`: its log lost records that it had
    // acknowledged and has not got back.
    void on_grant(int voter, const failover::VoteGrant& grant, bool lacks);
    // S2: a ballot is durable; a node starts from a ballot.
    void on_ballot_durable(int voter, const failover::Ballot& ballot);
    void on_start(int voter, const failover::Ballot& ballot, bool lost);
    // S4: an ack for `epoch` leaves a voter that has promised `promised`.
    void on_ack(int voter, Epoch epoch, Epoch promised);
    // S5, S6: a record is in some log.
    void on_append(int node, const Entry& entry);
    // S8, R1: a log is cut behind `keep`; the rest was saved.
    void on_cut(int node, const SimLog& log, Lsn keep);
    // S8, S10, S7: the holder of `epoch` moved its watermark over these records.
    void on_commit(int node, Epoch epoch, const SimLog& log, Lsn from, Lsn to);
    // PREFIX: a node shows records up to there.
    void on_apply(int node, const SimLog& log, Lsn from, Lsn to);
    // FENCED, NO-LOSS: a client was told that its record is committed.
    void on_client_ack(int node, const Entry& entry);
    // L4: the certificate left, then the node still acts as holder of that epoch.
    void on_release_sent(int node, Epoch epoch);
    void on_holder_act(int node, Epoch epoch, const char* act);
    // S12, S13.
    void on_weak_policy_used(int node, Epoch epoch, const failover::Policy& policy);
    void on_stronger_policy_sent(int node, const failover::Policy& policy, Lsn committed,
                                 const std::vector<NodeFacts>& nodes);
    // L6.
    void on_renewal(int node, Nanos since_progress);
    // LEASE: two nodes pass the gate at one moment.
    void check_gates(const std::vector<NodeFacts>& nodes);

    size_t tokens() const { return tokens_.size(); }
    uint64_t client_acks() const { return client_acks_; }
    uint64_t lease_overlaps() const { return lease_overlaps_; }
    uint64_t discarded() const { return discarded_; }
    Lsn committed() const { return Lsn(committed_.size()); }
    // At the end: everything that a client was told is in `log`, or was given up knowingly and is
    // among what was saved (LOSS-KNOWN).
    void check_end(const SimLog& log);
    void excuse_lease() { lease_excused_ = true; }

  private:
    struct KnownToken {
        int holder;
        failover::VoteKind kind;
        std::vector<Chain> base;  // the history it continues
    };
    struct Committed {
        Chain chain;
        Epoch record;
        Epoch by;  // the lowest epoch whose holder committed it
        bool known = false;
    };
    bool base_has(const KnownToken& token, Lsn lsn, const Chain& chain) const;
    bool lossy_after(Epoch epoch) const;

    const Swarm& swarm_;
    std::optional<std::string> breach_;
    std::map<Epoch, KnownToken> tokens_;
    std::map<std::pair<int, uint64_t>, std::pair<NodeKey, uint64_t>> votes_;
    std::map<int, Epoch> promised_;  // durable, by voter
    std::map<std::pair<int, uint64_t>, failover::PolicyId> released_;
    // The least k that a voter has durably stored under an epoch.
    std::map<std::pair<int, uint64_t>, uint8_t> weakest_;
    std::vector<std::vector<LogPoint>> points_;  // by LSN: every content ever seen
    std::vector<Committed> committed_;           // by LSN
    std::vector<std::pair<Lsn, Chain>> told_;    // what clients were told
    std::map<std::pair<uint64_t, uint64_t>, int>
        saved_;  // (lsn, first half of chain) cut and saved
    bool lossy_token_ = false;
    bool lease_excused_ = false;
    uint64_t client_acks_ = 0;
    uint64_t lease_overlaps_ = 0;
    uint64_t discarded_ = 0;
};

}  // namespace tanist::sim
