// What a Node holds, for the files that change its role: node.cc (its life), role_change.cc
// (fence, demotion, rejoin), promotion.cc.
#pragma once

#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <variant>

#include "failover/core/token.h"
#include "replicator/control/audit.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/control/members.h"
#include "replicator/control/node_file.h"
#include "replicator/control/operator_command.h"
#include "replicator/node/admin_server.h"
#include "replicator/node/engine.h"
#include "replicator/node/failover_host.h"
#include "replicator/node/hook_runner.h"
#include "replicator/node/mailbox.h"
#include "replicator/node/membership_worker.h"
#include "replicator/node/node.h"
#include "replicator/node/replica.h"
#include "replicator/node/role_host.h"
#include "replicator/node/ship_lock.h"
#include "replicator/node/vote_link.h"
#include "replicator/node/witness.h"
#include "replicator/node/write_hold.h"

namespace tanist {

using Json = nlohmann::ordered_json;

namespace node_order {
struct Command {
    OperatorCommand asked;
    AdminServer::Answer answer;
};
// The primary that we follow has given up its epoch, in a switchover.
struct TakeOver {
    failover::ReleaseCert cert;
    NodeKey from;
};
// A list of voters that is newer than ours, from a member that may lead.
struct NewVoters {
    VoterList list;
    NodeKey from;
};
}  // namespace node_order
using NodeOrder = std::variant<node_order::Command, node_order::TakeOver, node_order::NewVoters,
                               ElectionOrder, Superseded, Divergence>;

// A command whose end the elections decide; its answer waits for that.
struct PendingCommand {
    enum class Kind { promote, switchover, pause, recover };
    Kind kind = Kind::promote;
    AdminServer::Answer answer;
    Json result;  // when it succeeds
    std::string who;
    std::string target;
    Epoch before;             // the newest token's epoch when it began
    NodeKey node;             // promote, switchover: who is to become the primary
    bool paused = false;      // pause: what is wanted
    bool left = false;        // switchover: the primacy was given up
    bool log_counts = false;  // recover: as failover::OperatorWord has it
    Instant began{0};
    Instant give_up{0};
};

// The end of a command that came over the network.
struct NetworkAnswer {
    LinkId to = 0;
    uint64_t session = 0;
    std::string json;
};

// What a promotion would do. `impossible`: why it cannot be done at all; `unsafe`: why it must not
// be done unless an operator forces it.
struct PromotionPlan {
    Json json;
    std::string impossible;
    std::vector<std::string> unsafe;
    bool behind = false;    // one of those: a node that answers has more of the history
    bool majority = false;  // of the data members can be asked
    std::vector<Member> answering;
    Nanos slowest{0};   // of their answers, until it was here
    size_t needed = 0;  // so many data members, this node among them, must be asked
    Epoch next;
};

// What an operator's word would replace. `needed`: something; `impossible`: why it must not;
// `more_at`: who has more of the history, so that this node's log does not count.
struct RecoveryPlan {
    Json json;
    bool needed = false;
    std::string impossible;
    std::string more_at;
    failover::OperatorWord word;
};

struct Node::State final : RoleHost, FailoverOwner {
    State(const SqliteApi& sqlite, NodeOptions o)
        : api(sqlite),
          options(std::move(o)),
          layout(options.db_path),
          keys(layout, options.settings),
          hooks(options.settings.hooks) {}

    const SqliteApi& api;
    NodeOptions options;
    Layout layout;
    ShipLock ship_lock;
    NodeKey identity;
    std::unique_ptr<Link> bound;
    Door keys;
    std::vector<std::string> bound_endpoints;
    Control control;
    NodeFile file;  // node thread; as it stands on the disk
    std::atomic<uint64_t> epoch{0};
    std::atomic<Role> role{Role::unknown};
    std::unique_ptr<AdminServer> admin;
    Mailbox<NodeOrder> orders;
    mutable std::mutex roles;  // guards the two pointers; only the node thread changes them
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Replica> replica;
    std::unique_ptr<Witness> witness;
    std::unique_ptr<FailoverHost> failover;  // guarded by `roles`, like the pointers above
    failover::ConfigId voters_id;            // guarded by `roles`
    std::string voters_missing;              // node thread: why it has no list, though it has voted
    failover::ConfigId voters_least;         // node thread: an older list is not taken
    Suffrage votes;
    std::optional<WriteHold> drained;  // node thread: writers are held for a switchover
    std::optional<PendingCommand> pending;
    bool demotion_due = false;
    std::string demotion_told;            // why it is still due
    Epoch opened;                         // the epoch in which the gate was opened last
    std::optional<VoterInquiry> inquiry;  // under way
    Instant founding_tried{0};
    std::string founding_told;
    failover::ConfigId own_voters;  // the list of voters that this process made last
    bool app_seen = false;          // an application has used the primary since...
    Instant app_missed{0};          // ...and has been missed since then
    Instant revived{0};             // the failover node, last
    bool log_was_short = false;     // so that the log may lack what was acknowledged
    std::string broken;             // guarded by `roles`: no role could be started
    bool mark_pending = false;      // fenced, and stock processes do not know yet
    bool stopped = false;
    std::atomic<bool> key_changed{false};  // for the network thread to notice
    std::atomic<bool> stopping{false};
    Tickets tickets;  // network thread
    // What operators asked over the network, for the network thread to answer; shared with the
    // answers that are still to come.
    std::shared_ptr<Mailbox<NetworkAnswer>> network_answers =
        std::make_shared<Mailbox<NetworkAnswer>>();
    std::unique_ptr<MembershipWorker> membership;
    HookRunner hooks;  // told by the node thread, or before it runs
    std::thread thread;

    // -- RoleHost
    Link& link() override { return *bound; }
    Door& door() override { return keys; }
    const std::vector<std::string>& endpoints() const override { return bound_endpoints; }
    std::string own_endpoint() const override;
    bool serve(const Incoming& incoming, const Envelope& envelope) override;
    int answers_fd() const override { return network_answers->fd(); }
    void send_answers() override;
    bool changes_members() const override { return membership->at_work(); }
    Suffrage& suffrage() override { return votes; }
    // Where voters decide, a higher epoch comes with its token.
    void superseded(const Superseded& news) override {
        if (!votes.votes()) orders.put(news);
    }
    void diverged(const Divergence& found) override { orders.put(found); }

    // -- FailoverOwner; elections.cc
    std::optional<failover::LogState> log_state() override;
    void ordered(ElectionOrder order) override { orders.put(std::move(order)); }

    // -- own_voters.cc; node thread, or before it runs
    Result<std::optional<failover::Config>> config_voted_under() const;
    Result<bool> find_voters();
    Status open_voters();
    Result<std::vector<Member>> members_known(const VoterList& list) const;
    Status know_members_of(const VoterList& list);

    // -- elections.cc; node thread unless said otherwise
    Status start_failover();
    Status suspect_own_log();
    void stop_failover(bool for_good);
    void tend_elections();
    void handle(node_order::NewVoters& news);
    void handle(ElectionOrder& order);
    void on(election::Begin& order);
    void on(election::StepDown& order);
    void on(election::Follow& order);
    void on(election::Drain& order);
    void on(election::Resume& order);
    void on(election::AppendBarrier& order);
    void on(election::Told& order);
    void on(election::Opened& order);
    void give_way_to(const std::string& why);
    Status reopen_as_primary(Epoch next_epoch);
    bool take_voters(const Incoming& incoming, const Envelope& envelope);  // network thread
    Status adopt_voters(const VoterList& list, const NodeKey& founder);

    // -- voter_rotation.cc; node thread
    Result<std::optional<VoterList>> rotated_voters(const VoterList& now);
    Status keep_promise(const std::optional<VoterList>& before, const VoterList& after);
    Result<bool> take_voting_key(const VoterList& list);
    Status finish_key_change();

    // -- voter_changes.cc
    Result<VoterFacts> facts_of(const Member& member,
                                const std::optional<VotersHave>& answer) const;
    void found_voters_when_due();
    std::optional<VoterAnswers> answers_of(const std::vector<Member>& members);
    Result<std::optional<VoterList>> gather_voters();
    Result<std::optional<VoterList>> next_voters(const VoterList& now);
    std::optional<VoterList> with_k_when_all_follow(const VoterList& now) const;
    bool all_follow(const VoterList& list, Lsn end) const;
    bool all_hold_the_log(const VoterList& list) const;
    void change_voters_when_due();
    Status change_voters(const VoterList& now, const VoterList& wanted);
    Status force_voters(Epoch forced, const std::vector<Member>& answering);
    void watch_application();
    bool watches_application() const;
    void revive_failover();

    // -- election_commands.cc
    bool decide_by_vote(node_order::Command& command);
    Json begin_promotion(const OperatorCommand& asked, PendingCommand& begun);
    Json begin_switchover(const OperatorCommand& asked, PendingCommand& begun);
    Json begin_pause(const OperatorCommand& asked, PendingCommand& begun);
    bool is_done(const PendingCommand& command) const;
    void finish_pending(const Status& outcome);
    void tend_pending();

    // -- operator_word.cc
    RecoveryPlan plan_recovery();
    Json begin_recovery(const OperatorCommand& asked, PendingCommand& begun);

    // -- node.cc; node thread unless said otherwise
    Status open();
    Status bind();
    Status start_role();
    bool was_cut_short() const;
    Result<bool> is_untouched(WriteHold& hold) const;
    Status start_engine(bool database_is_at_log_end, bool holds_epoch = false);
    Status start_witness();
    Status finish_opening();
    Status start_replica();
    void stop_role(Nanos patience);
    void end_without_role(const Error& why);
    void run();
    void handle(node_order::Command& command);
    void handle(node_order::TakeOver& order);
    void handle(Superseded& news);
    void handle(Divergence& found);
    Json execute(const OperatorCommand& command);
    Status write_file(NodeFile next);
    void set_role(Role next);
    bool take_vote(const Incoming& incoming, const Envelope& envelope);
    bool answer_hello(const Incoming& incoming, const Envelope& envelope);

    // -- operator_desk.cc
    bool take_command(const Incoming& incoming, const Envelope& envelope);         // network thread
    void take_local_command(const std::string& json, AdminServer::Answer answer);  // admin thread
    void begin_command(OperatorCommand command, AdminServer::Answer answer);       // any thread

    // -- role_change.cc
    Json fence(const OperatorCommand& command);
    Json unfence(const OperatorCommand& command);
    Status mark_fenced(Nanos patience);
    Status demote(const Superseded& news);
    Result<bool> log_is_even(WriteHold& hold);
    Status all_is_captured(WriteHold& hold);
    Status has_room() const;
    Status become_replica(std::optional<WriteHold> hold = std::nullopt);
    Result<std::unique_ptr<Log>> open_log();
    Status save_tail(const Divergence& found);
    // Tells the hook of `event`, with what this node knows of itself now.
    void tell_hook(HookEvent event, const std::string& primary, const std::string& reason,
                   uint64_t lost_commits);

    // -- promotion.cc
    Result<std::vector<Member>> other_members() const;
    Result<std::vector<Member>> whom_to_ask() const;
    void erase_self(std::vector<Member>& members) const;
    bool may_lead(const NodeKey& key) const;
    Epoch ask_members(PromotionPlan& plan, const std::vector<Member>& members);
    PromotionPlan plan_promotion();
    Status claim_next_epoch(const PromotionPlan& plan, bool forced, Json& result);
    Status nothing_higher_is_kept(Epoch next_epoch);
    Json promote(const OperatorCommand& command);
    // `at`: where the log must end; nothing: wherever it does.
    Status become_primary(Epoch next_epoch, std::optional<LogPoint> at);
    Status open_as_primary(Epoch next_epoch);
    void audit_answer(const OperatorCommand& command, const Json& answer);
    void audit_outcome_of(AuditEntry command, const Status& outcome);

    // -- switchover.cc
    Result<Member> member_named(const std::string& name) const;
    std::optional<PeerReport> report_on(const Member& member) const;
    std::string why_no_switchover(const Member& target) const;
    Json switch_over(const OperatorCommand& command);
    Status hand_over(const Member& target);
    Result<LogPoint> drain(WriteHold& hold, const Member& target);
    Result<Bytes> sign_release(const Member& target, const LogPoint& final) const;
    bool tell_until_taken(const Member& target, const Bytes& cert, Epoch next);
};

// {"done": false, "error": ..., "code": ...}; refused is exit code 3 of the command line.
Json failure(const Error& error);
Json success();

}  // namespace tanist
