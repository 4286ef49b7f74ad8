// The replica's net thread: owns the link and the Receiver, and performs its actions. It holds no
// rule of the protocol; those are in receive/receiver.
#pragma once

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "replicator/node/newcomer.h"
#include "replicator/node/replica_state.h"
#include "replicator/node/store_loop.h"
#include "replicator/node/tail_check.h"
#include "replicator/receive/receiver.h"
#include "replicator/wire/link.h"

namespace tanist {

class NetLoop {
  public:
    NetLoop(ReplicaShared& shared, StoreLoop& store) : shared_(shared), store_(store) {}
    ~NetLoop() { stop(); }
    // Takes the host's link and keys; opens an invitation when this node is in no cluster.
    Status invite();
    void start(ReceiverStart start);
    void stop();
    // Addresses by which this node can be added, while it is in no cluster.
    const std::vector<std::string>& invitations() const { return invitations_; }

  private:
    void run();
    void hear_others();
    void receive_all();
    void step(const ReceiverEvent& event);
    void perform_all(const ReceiverEvent& event);
    void store_or_hand_over();
    void perform(ReceiverAction& action);
    void act(receiver_action::Send& action);
    void act(receiver_action::Adopt& action);
    void act(receiver_action::PersistEpoch& action);
    void act(receiver_action::AppendBegin& action);
    void act(receiver_action::AppendPart& action);
    void act(receiver_action::AppendFinish& action);
    void act(receiver_action::AppendAbandon& action);
    void act(receiver_action::CommittedUpTo& action);
    void act(receiver_action::BeginSyncLog& action);
    void act(receiver_action::DropSyncLog& action);
    void act(receiver_action::KeepSyncLog& action);
    void act(receiver_action::SyncBegan& action);
    void act(receiver_action::SyncGotPages& action);
    void act(receiver_action::SyncComplete& action);
    void act(receiver_action::SyncAborted& action);
    void act(receiver_action::PrimaryHeard& action);
    void act(receiver_action::Report& action);
    void send(LinkId to, const Message& message);
    bool admitted(const Incoming& incoming, const Envelope& envelope, const Body& body);
    void serve_status(const Incoming& incoming, const Envelope& asked);
    void publish_view();
    void keep_roster(const Envelope& envelope, const Roster& roster);
    void check_tail();
    void go_on_with_sync();

    ReplicaShared& shared_;
    StoreLoop& store_;
    Link* link_ = nullptr;  // the host's
    Door* door_ = nullptr;  // the host's
    std::unique_ptr<Newcomer> newcomer_;
    std::vector<std::string> invitations_;
    std::unique_ptr<Receiver> receiver_;
    TailCheck tail_check_;
    store_command::BeginSyncLog begins_;  // once the tail is checked
    std::deque<StoreCommand> to_store_;   // of the event being handled
    Frame frame_;                         // keeps the bytes of the message being handled
    uint64_t primary_log_bytes_ = 0;
    std::string told_state_;
    std::string told_refusal_;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
};

}  // namespace tanist
