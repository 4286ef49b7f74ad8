// Where a voting node's failover::Node lives: one thread that owns the clock, the messages and the
// order of the actions. It holds no rule of the protocol; those are in failover/core.
//
//   net threads  --deliver-->  inbox  --step-->  actions:  ballot keeper  (Persist, in order)
//   node thread  --events-->                               vote link      (Send)
//   ballot keeper --Persisted-->                           control block  (SetGate)
//                                                          node thread    (roles begin and end)
//
// Every step happens under the Suffrage's mutex, after a fresh look at the log: what a replica
// acknowledged before is in the log that the step sees.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <tuple>

#include "replicator/control/control_block.h"
#include "replicator/node/ballot_keeper.h"
#include "replicator/node/mailbox.h"
#include "replicator/node/promise_file.h"
#include "replicator/node/suffrage.h"
#include "replicator/node/vote_link.h"

namespace tanist {

// What the elections want of the node thread, in order.
namespace election {
struct Begin {
    failover::Token token;
};
struct StepDown {
    Epoch epoch;
    std::string reason;
};
struct Follow {
    failover::Token token;
};
struct Drain {};
struct Resume {};
struct AppendBarrier {};
struct Told {
    std::string what;
};
struct Opened {};  // the gate is open
}  // namespace election
using ElectionOrder =
    std::variant<election::Begin, election::StepDown, election::Follow, election::Drain,
                 election::Resume, election::AppendBarrier, election::Told, election::Opened>;

class FailoverOwner {
  public:
    virtual ~FailoverOwner() = default;
    // On the host's thread. Nothing: a role is just ending or beginning, and nothing may be decided
    // until it has.
    virtual std::optional<failover::LogState> log_state() = 0;
    // On the host's thread; returns at once.
    virtual void ordered(ElectionOrder order) = 0;
};

struct FailoverStart {
    Layout layout;
    Settings settings;
    VoterList list;
    bool was_primary = false;  // its writers wait for the first election instead of failing
};

class FailoverHost {
  public:
    // `owner` and `suffrage` must outlive it.
    static Result<std::unique_ptr<FailoverHost>> start(FailoverStart start, FailoverOwner& owner,
                                                       Suffrage& suffrage);
    ~FailoverHost() { stop(false); }
    // `for_good`: this node is stopped in order, and the ballot says so. Else another host goes on
    // where this one ends.
    void stop(bool for_good);

    // Any thread.
    void deliver(const NodeKey& from, failover::Message message);
    void tell(failover::Event event) { inbox_.put({NodeKey{}, std::move(event)}); }
    failover::NodeView view() const;
    const VoterList& list() const { return start_.list; }
    const NodeKey& self() const { return identity_->key(); }
    failover::OperatorCert sign(failover::OperatorCert order) const;

  private:
    struct Input {
        NodeKey from;  // of a message; else zero
        failover::Event event;
    };
    class IdentitySigner final : public failover::Signer {
      public:
        explicit IdentitySigner(const Identity& identity) : identity_(identity) {}
        NodeKey self() const override { return identity_.key(); }
        failover::Signature sign(ByteView message) const override;
        bool verify(const NodeKey& by, ByteView message,
                    const failover::Signature& is) const override;

      private:
        const Identity& identity_;
    };

    FailoverHost(FailoverStart start, FailoverOwner& owner, Suffrage& suffrage)
        : start_(std::move(start)), owner_(owner), suffrage_(suffrage) {}
    Status open();
    void run();
    void take_inbox();
    // False: a role is just changing, and this event is to come again.
    bool step(const failover::Event& event);
    void take_acks(Instant now, failover::Actions& actions);
    void perform(failover::Actions& actions);
    void act(failover::action::Persist& action);
    void act(failover::action::Send& action);
    void act(failover::action::SendAfterPersist& action);
    void act(failover::action::NotePromise& action);
    void act(failover::action::SetGate& action);  // the gate itself is set within the step
    void act(failover::action::BeginEpoch& action);
    void act(failover::action::AppendBarrier&);
    void act(failover::action::Committed&) {}  // whoever waits for acks sees them himself
    void act(failover::action::StepDown& action);
    void act(failover::action::Follow& action);
    void act(failover::action::Drain&) { owner_.ordered(election::Drain{}); }
    void act(failover::action::Resume&) { owner_.ordered(election::Resume{}); }
    void act(failover::action::Report& action);
    void set_gate(const failover::Gate& gate);
    void show_gate(Instant now);
    void publish_policy(const failover::NodeView& view);
    void publish(Instant now);
    void send_persisted();
    Nanos until_deadline(Instant now) const;

    FailoverStart start_;
    FailoverOwner& owner_;
    Suffrage& suffrage_;
    std::optional<Identity> identity_;
    std::unique_ptr<IdentitySigner> signer_;
    Control control_;
    PromiseFile promise_;
    VoteLink link_{start_.layout, start_.settings};
    std::unique_ptr<failover::Node> node_;  // stepped under the suffrage's mutex
    failover::Actions first_;               // of the node's start
    std::unique_ptr<BallotKeeper> keeper_;
    std::deque<failover::action::SendAfterPersist> waiting_;  // for their ballot
    std::optional<failover::LogState> log_;                   // as the node knows it
    Mailbox<Input> inbox_;
    std::deque<Input> deferred_;  // while a role changes
    failover::Gate gate_;
    Instant hopeful_until_{0};  // closed means "wait" until then
    Instant published_{0};
    std::tuple<failover::NodeRole, Epoch, failover::GateState, failover::HolderPhase,
               failover::CandidatePhase, failover::Policy, bool>
        shape_;  // as it was last published
    std::atomic<bool> disk_fails_{false};
    std::atomic<bool> stopping_{false};
    std::atomic<bool> for_good_{false};
    bool stopped_ = false;
    std::thread thread_;
};

}  // namespace tanist
