// The ship thread: owns the link and one Follower per member, and performs their actions. It holds
// no rule of the protocol; those are in ship/follower.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "replicator/control/members.h"
#include "replicator/node/announcer.h"
#include "replicator/node/capture_loop.h"
#include "replicator/node/mailbox.h"
#include "replicator/node/role_host.h"
#include "replicator/node/sync_worker.h"
#include "replicator/node/witness_links.h"
#include "replicator/ship/follower.h"
#include "replicator/ship/gathering.h"
#include "replicator/ship/rearm.h"
#include "replicator/wire/link.h"

namespace tanist {

struct ShipLoopOptions {
    Layout layout;
    Settings settings;
    FollowerIdentity self;
    std::function<std::string()> status_json;  // answers status_ask
    RoleHost* host = nullptr;                  // whose link it uses; null: its own
    bool ships = true;  // false: it serves its endpoint and connects to nobody
    // On the ship thread: a member refuses our epoch, and names a higher one.
    std::function<void(const Superseded&)> superseded;
};

class ShipLoop {
  public:
    ShipLoop(const SqliteApi& api, ShipLoopOptions options, Log& log, Control& control,
             CaptureLoop& capture);
    ~ShipLoop();
    Status start();
    // Ships what the log holds to the members that stream, at most for `patience`.
    void stop(Nanos patience);
    void log_grew() { wake_.signal(); }
    // See Engine::tell.
    void tell(const std::string& endpoint, Bytes vote) { votes_.put({endpoint, std::move(vote)}); }
    // The newest version of the signed member list that every member with a key keeps.
    uint64_t members_kept() const { return members_kept_.load(); }
    // Every member has applied everything; true when there is none.
    bool all_shipped() const { return shipped_to_.load() >= log_.end().position.lsn.value; }
    std::vector<std::string> endpoints() const { return endpoints_; }

  private:
    struct Peer {
        Member member;
        size_t slot = 0;  // in ControlBlock::ack, as long as it is a member
        std::unique_ptr<Follower> follower;
        std::unique_ptr<LogReader> reader;
        LinkId main = 0;
        LinkId sync = 0;
        SyncJob job = 0;
        std::optional<uint64_t> settling;  // the capture barrier a sync waits for at its end
        uint64_t session = 0;
        std::string roster_told;  // in this session
        uint64_t roster_session = 0;
        unsigned attempts = 0;  // connections opened
        NodeKey server;         // whose key the present one was opened to
    };

    void run();
    void open_chime();
    void ship_what_is_waited_for();
    void ship_what_was_gathered();
    bool receipts_are_wanted() const;
    void reload_members();
    bool is_self(const Member& member) const;
    void send_votes();
    void send_apart(Peer& peer, Body message);
    void tell_roster();
    void tend_keys();
    bool may_take_list();
    void receive_all();
    void serve_status(const Incoming& incoming, const Envelope& envelope);
    bool served_apart(Peer* peer, const Incoming& incoming, const Envelope& envelope);
    bool refuses_epoch(const Incoming& incoming, const Envelope& envelope) const;
    void answer_history(const Incoming& incoming, const Envelope& envelope);
    void step(Peer& peer, const FollowerEvent& event);
    void perform(Peer& peer, FollowerAction&& action);
    void act(Peer& peer, follower_action::Connect& action);
    void act(Peer& peer, follower_action::Disconnect& action);
    void act(Peer& peer, follower_action::Send& action);
    void act(Peer& peer, follower_action::LookUp& action);
    void act(Peer& peer, follower_action::SendRecords& action);
    void act(Peer& peer, follower_action::StartSync& action);
    void act(Peer& peer, follower_action::AnswerSyncAsk& action);
    void act(Peer& peer, follower_action::SettleSync& action);
    void act(Peer& peer, follower_action::StopSync& action);
    void act(Peer& peer, follower_action::Acknowledged& action);
    void act(Peer& peer, follower_action::Report& action);
    void fail_link(Peer& peer);
    void send_sync_pages();
    void end_settled();
    void publish_views();
    void publish_risk();
    void rearm_when_caught_up();
    LogView log_view();
    Result<LogPoint> settled_point(Peer& peer);
    size_t free_slot() const;
    Nanos until_next_deadline() const;

    const SqliteApi& api_;
    ShipLoopOptions options_;
    Log& log_;
    Control& control_;
    CaptureLoop& capture_;
    Event wake_;
    Chime chime_;
    Mailbox<std::pair<std::string, Bytes>> votes_;  // endpoint, message
    std::unique_ptr<Link> own_link_;
    Link* link_ = nullptr;  // ours, or the host's
    std::unique_ptr<Door> own_door_;
    Door* door_ = nullptr;  // ours, or the host's
    std::unique_ptr<Announcer> announcer_;
    std::unique_ptr<WitnessLinks> witness_links_;
    std::unique_ptr<SyncWorker> syncs_;
    std::vector<std::unique_ptr<Peer>> peers_;
    std::map<LinkId, Peer*> by_link_;
    std::vector<std::string> endpoints_;
    std::string own_endpoint_;  // what members are told of this node
    std::vector<Member> witnesses_;
    int64_t members_changed_ns_ = -1;
    Instant members_looked_{0};
    Instant list_looked_{0};
    Instant keys_tended_{0};
    Instant news_waits_until_{0};  // see LogView
    Instant members_changing_{0};  // when a command was last at that
    Instant roster_looked_{0};
    SyncJob jobs_ = 0;
    std::deque<std::pair<Peer*, FollowerEvent>> pending_;  // events raised by actions
    Rearm rearm_;
    Gathering gathering_;
    uint32_t degraded_told_ = 0;  // ControlBlock::degraded as it was last noted
    std::atomic<bool> stopping_{false};
    // Every member had applied the log up to here; compared with its end at the moment of asking,
    // so that what was captured since counts. Zero: one lacks something.
    std::atomic<uint64_t> shipped_to_{0};
    std::atomic<uint64_t> members_kept_{0};
    std::atomic<uint64_t> served_to_{0};  // the same, but for members that are synced
    std::thread thread_;
};

}  // namespace tanist
