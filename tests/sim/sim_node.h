// One node of the simulated cluster: the adapter that the product has for real (disk, data plane,
// gate), in memory and on virtual time, around the very failover::Node that runs in the product.
//
// Data plane: a small append and ack protocol that obeys rules A1 to A4 through the same pure code
// (failover::follow, Voter::admit, Voter::may_ack) that replicas use.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <variant>

#include "failover/core/node.h"
#include "tests/sim/clock.h"
#include "tests/sim/sim_log.h"
#include "tests/sim/sim_signer.h"

namespace tanist::sim {

class World;

struct Append {
    Epoch epoch;
    LogPoint previous;
    std::vector<Entry> entries;
    Lsn committed;
};
struct AppendAck {
    Epoch epoch;
    Lsn received, durable, applied;
};
struct AppendNack {  // gap or conflict
    Epoch epoch;
    Lsn ask_after;
};
using SimMessage = std::variant<failover::Message, Append, AppendAck, AppendNack>;

// What survives. `ballot` is the very file; half of a slot may be written when a crash comes.
struct SimDisk {
    Bytes ballot;
    std::optional<failover::Token> token;
    SimLog log;
    std::optional<failover::Promise> promise;  // a mapped file: survives the process, not the boot
    failover::BootId boot;
    uint64_t boots = 0;
    bool member_before = false;
    Lsn applied;         // of the database file
    Position watermark;  // the highest it has known, and of which holder
    Lsn acked_end;       // the most it ever acknowledged
    bool lacks = false;  // a reboot took records it had acknowledged, and they are not back
};

class SimNode {
  public:
    SimNode(World& world, int number);

    void start();
    // `reboot`: the machine too, so that what was not synced may be gone.
    void crash(bool reboot);
    void lose_ballot();
    void pause(bool virtual_machine);
    void resume();
    void deliver(int from, const SimMessage& message);
    void tick();
    void log_synced(uint64_t incarnation, Lsn through);
    void ballot_synced(uint64_t incarnation);
    void drained(uint64_t incarnation);
    void client_write(uint64_t value);
    void step(const failover::Event& event);

    bool up() const { return node_ != nullptr; }
    bool paused() const { return paused_; }
    bool usable() const { return up() && !paused_; }
    int number() const { return number_; }
    bool is_witness() const;
    const failover::Node* core() const { return node_.get(); }
    const SimLog& log() const { return disk_.log; }
    const SimDisk& disk() const { return disk_; }
    const SimSigner& signer() const { return signer_; }
    const failover::Gate& gate() const { return gate_; }
    SimClock& clock() { return clock_; }
    const SimClock& clock() const { return clock_; }
    uint64_t incarnation() const { return incarnation_; }
    bool passes_gate() const;
    Lsn applied() const { return disk_.applied; }
    std::string describe() const;

    // Disk faults.
    int64_t slow_until = 0;
    int64_t hang_until = 0;

  private:
    friend class World;
    void perform(failover::Actions&& actions);
    void perform(const failover::action::Persist& a);
    void perform(const failover::action::Send& a);
    void perform(const failover::action::SendAfterPersist& a);
    void perform(const failover::action::NotePromise& a);
    void perform(const failover::action::SetGate& a);
    void perform(const failover::action::BeginEpoch& a);
    void perform(const failover::action::AppendBarrier& a);
    void perform(const failover::action::Committed& a);
    void perform(const failover::action::StepDown& a);
    void perform(const failover::action::Follow& a);
    void perform(const failover::action::Drain& a);
    void perform(const failover::action::Resume& a);
    void perform(const failover::action::Report& a);
    void begin_ballot_write();
    void watch(const failover::Message& message);
    void on_append(int from, const Append& append);
    void take(int from, const Append& append, const failover::FollowDecision& decision);
    void on_append_ack(int from, const AppendAck& ack);
    void on_append_nack(int from, const AppendNack& nack);
    void append(const Entry& entry);
    void append_barrier();
    void begin_log_sync();
    void log_moved();
    void apply();
    void ack();
    void ship(int peer);
    void ship_all();
    void ship_again();
    void schedule_tick();
    failover::LogState log_state() const;

    struct PeerShip {
        Lsn next{1};
        Lsn acked;
        Lsn told_committed;
        int64_t sent_at = 0;
    };

    World& world_;
    const int number_;
    SimSigner signer_;
    SimClock clock_;
    SimDisk disk_;
    uint64_t incarnation_ = 0;
    std::unique_ptr<failover::Node> node_;
    bool was_suspect_ = false;
    bool paused_ = false;
    bool vm_paused_ = false;
    std::deque<std::pair<int, std::shared_ptr<const SimMessage>>> held_;  // while paused
    std::deque<std::function<void()>> held_work_;
    // Volatile.
    failover::Gate gate_;
    std::optional<failover::action::Persist> writing_;  // on its way to the disk
    std::optional<failover::action::Persist> waiting_;  // the newest behind it
    std::vector<failover::action::SendAfterPersist> after_persist_;
    uint64_t ballot_durable_ = 0;
    int next_slot_ = 0;
    bool log_syncing_ = false;
    Epoch holding_;              // as its holder; zero: not
    uint8_t policy_sent_k_ = 0;  // of the policy last sent, or known from the token
    bool draining_ = false;
    std::map<int, PeerShip> ships_;
    Epoch following_;
    int leader_ = -1;
    Lsn matched_;         // history up to here is the leader's
    Position committed_;  // the watermark of this epoch
    std::deque<Entry> waiting_clients_;
    Instant progress_{0};
    int64_t tick_at_ = INT64_MAX;
};

}  // namespace tanist::sim
