// One node's whole failover: voter, candidate and holder behind one step(event, now) -> actions.
// Pure: no clock, random, thread, file or socket; the simulator runs this same code.
//
// The adapter: reads ballot, token and promise file; starts the node; gives it every message
// (authenticated sender), the log's movements, and Tick no later than deadline(); performs the
// actions in order. Its data plane asks admit() before it takes records and may_ack() at the
// instant an ack leaves, and reports the acks that it received as the holder.
//
// Not thread-safe: one loop owns it. `now` never runs backwards.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "failover/core/action.h"
#include "failover/core/candidate.h"
#include "failover/core/holder.h"
#include "failover/core/standing.h"
#include "failover/core/voter.h"

namespace tanist::failover {

namespace event {
struct Tick {};
struct Received {
    NodeKey from;  // authenticated
    Message message;
};
struct Persisted {
    uint64_t serial = 0;
};
// The ballot could not be written: this node must not vote or hold again until it was restarted.
struct PersistFailed {
    std::string reason;
};
// The local log or its watermark moved. For the holder too.
struct LogMoved {
    LogState log;
};
// The log's disk finished a sync or a canary write.
struct Progress {};
// A replica's ack, as the holder received it: of this epoch, and only while the histories are known
// to be the same.
struct Acknowledged {
    NodeKey from;
    Epoch epoch;
    Lsn received, durable, applied;
};
struct BarrierAppended {
    LogPoint at;
};
struct Drained {};
struct AppGone {};    // the application or its engine is gone for good, the machine lives
struct CleanStop {};  // everything is synced, the process ends
// Operators. What could not be begun, and why, is told by a Report.
struct SwitchOver {
    NodeKey to;
};
struct Promote {
    OperatorCert order;  // its target is this node
};
struct Pause {
    bool paused = true;
};
struct Recover {
    OperatorWord word;
};
}  // namespace event
using Event = std::variant<event::Tick, event::Received, event::Persisted, event::PersistFailed,
                           event::LogMoved, event::Progress, event::Acknowledged,
                           event::BarrierAppended, event::Drained, event::AppGone, event::CleanStop,
                           event::SwitchOver, event::Promote, event::Pause, event::Recover>;

enum class NodeRole : uint8_t { replica, candidate, primary, witness, stopped };
const char* to_string(NodeRole role);

// For status, `explain` and the gate.
struct NodeView {
    NodeRole role = NodeRole::replica;
    Epoch promised;
    std::optional<Token> token;  // the newest known
    Gate gate;
    HolderPhase holder = HolderPhase::none;
    CandidatePhase candidate = CandidatePhase::idle;
    Policy policy;  // holder: in force; else the newest stored
    Position committed;
    Instant lease_until{0};
    Instant promise_until{0};
    Instant withholds_until{0};
    bool suspect = false;
    bool lost_ballot = false;
    std::map<NodeKey, RefuseReason> refusals;
};

struct NodeStart {
    Config config;  // used when the ballot holds none that is newer
    VoterStart voter;
    LogState log;
    uint64_t seed = 0;
};

class Node {
  public:
    // `signer` must outlive it. The first actions are performed like those of a step.
    Node(const NodeStart& start, const Signer& signer, Instant now, Actions& out);
    Actions step(const Event& event, Instant now);
    Instant deadline() const;  // step(Tick) no later than this

    Voter::Admission admit(Epoch epoch, const NodeKey& from) const {
        return voter_.admit(epoch, from);
    }
    bool may_ack(Epoch epoch) const { return !stopped_ && voter_.may_ack(epoch); }
    bool may_ack_unsynced() const { return voter_.may_ack_unsynced(); }
    NodeView view() const;
    const Config& config() const { return standing_.config; }
    const Voter& voter() const { return voter_; }
    const Holder& holder() const { return holder_; }

  private:
    void on(const event::Tick& event);
    void on(const event::Received& event);
    void on(const event::Persisted& event);
    void on(const event::PersistFailed& event);
    void on(const event::LogMoved& event);
    void on(const event::Progress& event);
    void on(const event::Acknowledged& event);
    void on(const event::BarrierAppended& event);
    void on(const event::Drained& event);
    void on(const event::AppGone& event);
    void on(const event::CleanStop& event);
    void on(const event::SwitchOver& event);
    void on(const event::Promote& event);
    void on(const event::Pause& event);
    void on(const event::Recover& event);
    void receive(const NodeKey& from, const Message& message);
    void take(const NodeKey& from, const Renew& m);
    void take(const NodeKey& from, const RenewAck& m);
    void take(const NodeKey& from, const VoteAsk& m);
    void take(const NodeKey& from, const PreGrant& m);
    void take(const NodeKey& from, const VoteGrant& m);
    void take(const NodeKey& from, const Refuse& m);
    void take(const NodeKey& from, const Announce& m);
    void take(const NodeKey& from, const PolicyStore& m);
    void take(const NodeKey& from, const PolicyStored& m);
    void take(const NodeKey& from, const Release& m);
    void take(const NodeKey& from, const PromiseAsk& m);
    void take(const NodeKey& from, const PromiseTold& m);
    void take(const NodeKey& from, const EndAsk& m);
    void take(const NodeKey& from, const EndTold& m);
    void settle();
    bool deliver_to_self();
    void tend();
    void report(const Status& status, const char* what);
    void check_invariants() const;

    Standing standing_;
    Actions out_;
    Voter voter_;
    Candidate candidate_;
    Holder holder_;
    Instant now_{0};
    bool stopped_ = false;
    // Messages of this node to itself; with a serial, they wait for that ballot.
    std::vector<action::SendAfterPersist> own_;
    uint64_t token_serial_ = 0;  // a won token begins when this ballot is durable
    std::optional<Token> won_;
    Epoch followed_;  // of the last Follow
};

}  // namespace tanist::failover
