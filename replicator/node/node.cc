#include "replicator/node/node.h"

#include "failover/core/message.h"
#include "replicator/base/notes.h"
#include "replicator/base/priority.h"
#include "replicator/control/identity.h"
#include "replicator/control/primary_endpoint.h"
#include "replicator/control/reachable.h"
#include "replicator/control/setup.h"
#include "replicator/control/status.h"
#include "replicator/node/epoch_ask.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kLookSoon = 20ms;    // at the application, and for answers
constexpr Nanos kLookEvery = 500ms;  // at what is pending
constexpr Nanos kDrainAtChange = 5s;

}  // namespace

Json failure(const Error& error) {
    return {{"done", false},
            {"error", error.message},
            {"code", error.code == Errc::refused || error.code == Errc::stale_epoch ? "refused"
                     : error.code == Errc::unreachable                              ? "unreachable"
                                                                                    : "failed"}};
}

Json success() { return {{"done", true}}; }

// -- a life

Status Node::State::open() {
    auto found = read_node_file(layout.node());
    const bool fresh = !found && found.error().code == Errc::not_found;
    if (!found && !fresh) return std::move(found).error();
    if (fresh || found->role == Role::replica) found = set_up_replica(layout, options.replace);
    if (found && found->role == Role::witness) found = set_up_witness(layout);
    if (!found) return std::move(found).error();
    file = *found;
    auto lock = ShipLock::take(layout.ship_lock());
    if (!lock) return std::move(lock).error();
    ship_lock = std::move(lock).value();
    // What a killed process renamed here is relied on from now on.
    TANIST_TRY(sync_directory(layout.directory));
    // Another process may have changed it until we had the lock.
    if (auto now = read_node_file(layout.node())) file = *now;
    TANIST_TRY(finish_key_change());
    auto key = load_or_create_identity(layout.identity());
    if (!key) return std::move(key).error();
    identity = *key;
    // libzmq's own threads start with the first socket and inherit from the thread that makes it.
    Status listening = ok_status();
    std::thread([&] {
        if (file.role != Role::replica)
            give_way(kShippingGivesWay);
        else if (stays_on_this_machine(options.settings.listen))
            give_way(kReplicaGivesWay);
        listening = bind();
    }).join();
    TANIST_TRY(std::move(listening));
    auto block = Control::open(layout.control(), true, false);
    if (!block) return std::move(block).error();
    control = std::move(block).value();
    epoch.store(file.epoch.value);
    role.store(file.role);
    return open_voters();
}

Status Node::State::bind() {
    auto created = Link::create();
    if (!created) return std::move(created).error();
    bound = std::move(created).value();
    TANIST_TRY(keys.open(*bound));
    for (const std::string& endpoint : options.settings.listen) {
        auto at = keys.bind(*bound, endpoint);
        if (!at) return std::move(at).error();
        bound_endpoints.push_back(std::move(at).value());
    }
    return ok_status();
}

std::string Node::State::own_endpoint() const {
    if (!options.settings.advertise.empty()) return options.settings.advertise;
    return bound_endpoints.empty() ? "" : reachable(bound_endpoints.front());
}

Status Node::State::start_role() {
    if (file.role == Role::replica) return start_replica();
    if (file.role == Role::witness) return start_witness();
    // Where voters decide, its own token tells. Else: did somebody take over while this primary was
    // away?
    if (!votes.votes() && file.superseded_by.value == 0 && !file.boot.empty()) {
        auto news = ask_for_higher_epoch(layout, options.settings, file);
        if (!news) return std::move(news).error();
        if (*news) return demote(**news);
    }
    if (file.superseded_by.value != 0) {
        TANIST_TRY(become_replica());
        tell_hook(HookEvent::demote, "", "superseded", 0);
        return ok_status();
    }
    if (file.role == Role::primary && file.mark_pending) return finish_opening();
    TANIST_TRY(start_engine(false));
    if (file.role == Role::fenced && !mark_fenced(0s)) mark_pending = true;
    return ok_status();
}

// A promotion was cut short after the node file said "primary". Nobody wrote the database since it
// was at its log's end if it is still marked as a replica's: then WRITE is held until the engine
// watches, as in a promotion.
Status Node::State::finish_opening() {
    {
        auto hold = WriteHold::take(api, layout.db, kDrainAtChange);
        if (!hold) return std::move(hold).error();
        auto untouched = is_untouched(*hold);
        if (!untouched) return std::move(untouched).error();
        auto marked = hold->set_writable(true);
        if (!marked) return std::move(marked).error();
        if (*untouched) TANIST_TRY(start_engine(true));
    }
    if (!engine) TANIST_TRY(start_engine(false));
    NodeFile next = file;
    next.mark_pending = false;
    TANIST_TRY(write_file(next));
    set_role(Role::primary);
    return ok_status();
}

// A power cut may have taken what a replica had not synced.
bool Node::State::was_cut_short() const {
    return file.role == Role::primary && file.mark_pending && file.boot == to_string(boot_id());
}

Result<bool> Node::State::is_untouched(WriteHold& hold) const {
    if (!was_cut_short()) return false;
    auto writable = hold.is_writable();
    if (!writable) return std::move(writable).error();
    return !*writable;
}

Status Node::State::start_engine(bool database_is_at_log_end, bool holds_epoch) {
    EngineOptions start;
    start.db_path = layout.db;
    start.settings = options.settings;
    start.leave_when_idle = options.leave_when_idle && !votes.votes();
    start.host = this;
    start.database_is_at_log_end = database_is_at_log_end;
    start.database_has_log = was_cut_short();
    start.elected = votes.votes();
    start.holds_epoch = holds_epoch || !votes.votes();
    auto started = Engine::start(api, std::move(start));
    if (!started) return std::move(started).error();
    // A new boot begins a new epoch.
    if (auto now = read_node_file(layout.node())) file = *now;
    epoch.store(file.epoch.value);
    if (file.role == Role::primary) {
        keep_primary_endpoint(layout, own_endpoint());
    }
    std::lock_guard lock(roles);
    engine = std::move(started).value();
    log_was_short = log_was_short || engine->log_was_short();
    role.store(file.role);
    return ok_status();
}

Status Node::State::start_replica() {
    ReplicaOptions start;
    start.db_path = layout.db;
    start.settings = options.settings;
    start.replace = options.replace;
    start.host = this;
    auto started = Replica::start(api, std::move(start));
    if (!started) return std::move(started).error();
    std::lock_guard lock(roles);
    replica = std::move(started).value();
    log_was_short = log_was_short || replica->log_was_short();
    role.store(Role::replica);
    return ok_status();
}

Status Node::State::start_witness() {
    auto started = std::make_unique<Witness>(layout, *this);
    TANIST_TRY(started->start(options.settings.invite_expires, file.cluster));
    std::lock_guard lock(roles);
    witness = std::move(started);
    role.store(Role::witness);
    return ok_status();
}

// First nobody sees the role any more, then it ends: what is captured or received last is in the
// log before elections look at it again.
void Node::State::stop_role(Nanos patience) {
    std::unique_ptr<Engine> old_engine;
    std::unique_ptr<Replica> old_replica;
    std::unique_ptr<Witness> old_witness;
    {
        std::lock_guard lock(roles);
        old_engine = std::move(engine);
        old_replica = std::move(replica);
        old_witness = std::move(witness);
    }
    if (old_engine) old_engine->stop(patience);
    if (old_replica) old_replica->stop(patience);
}

void Node::State::run() {
    while (!stopping.load()) {
        const bool attentive = watches_application() || inquiry;
        const Nanos look_every = attentive ? kLookSoon : kLookEvery;
        for (NodeOrder& order : orders.wait(look_every)) {
            if (stopping.load()) return;
            // A replica's network thread writes what it learns of its cluster and the epoch.
            if (auto now = read_node_file(layout.node()); now && replica) file = std::move(*now);
            std::visit([this](auto& o) { handle(o); }, order);
        }
        if (mark_pending && mark_fenced(0s)) mark_pending = false;
        tend_elections();
    }
}

// -- orders

void Node::State::handle(node_order::Command& command) {
    if (decide_by_vote(command)) return;
    const Json result = execute(command.asked);
    audit_answer(command.asked, result);
    command.answer(result.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json Node::State::execute(const OperatorCommand& command) {
    using Kind = OperatorCommand::Kind;
    if (command.kind == Kind::recover) {
        return failure({Errc::refused,
                        "nobody votes here: failover is manual, so no log is suspect and no ballot "
                        "can be lost"});
    }
    if (file.role == Role::witness) {
        return failure({Errc::refused, "a witness holds no data, and no role that could change"});
    }
    switch (command.kind) {
        case Kind::fence:
            return fence(command);
        case Kind::unfence:
            return unfence(command);
        case Kind::promote:
            return promote(command);
        case Kind::switchover:
            return switch_over(command);
        case Kind::pause:
        case Kind::resume:
            return failure({Errc::refused,
                            "nobody votes here: failover is manual, so there is nothing "
                            "to pause"});
        default:
            return failure({Errc::invalid, "that is no command of this socket"});
    }
}

void Node::State::handle(Superseded& news) {
    if (file.role == Role::replica || news.epoch <= file.epoch) return;
    if (auto demoted = demote(news); !demoted) {
        note(NoteLevel::error, "cannot become a replica yet",
             {{"reason", demoted.error().message}});
        control.set_problem("it is to become a replica, but " + demoted.error().message);
        end_without_role(demoted.error());
    }
}

void Node::State::handle(Divergence& found) {
    if (!replica) return;
    const auto saved = save_tail(found);
    if (!saved) {
        note(NoteLevel::error, "diverged commits are not saved, so they stay in the log",
             {{"reason", saved.error().message}});
        control.set_problem("diverged commits cannot be saved: " + saved.error().message);
    }
    if (replica) return;
    const bool was_short = log_was_short;
    auto started = start_replica();
    if (!started) end_without_role(started.error());
    // Cut back to the last record that it shares with its primary, it lacks nothing that it had
    // confirmed and that counts. Where no such record was found, it may.
    if (saved && found.proved) log_was_short = was_short;
}

// A role that ended, and none that could begin: the daemon ends, too, and its next start goes on
// from what is on the disk.
void Node::State::end_without_role(const Error& why) {
    if (engine || replica || witness) return;
    std::lock_guard lock(roles);
    broken = why.message;
}

// The file first, then what everybody reads.
Status Node::State::write_file(NodeFile next) {
    TANIST_TRY(write_node_file(layout.node(), next));
    file = std::move(next);
    epoch.store(file.epoch.value);
    return ok_status();
}

void Node::State::set_role(Role next) {
    control->epoch.store(file.epoch.value, std::memory_order_release);
    control->role.store(static_cast<uint32_t>(next), std::memory_order_release);
    role.store(next);
}

// -- what comes to the endpoint and belongs to no session of the role

bool Node::State::serve(const Incoming& incoming, const Envelope& envelope) {
    if (envelope.type == MessageType::hello && role.load() != Role::replica) {
        return answer_hello(incoming, envelope);
    }
    if (envelope.type == MessageType::vote) return take_vote(incoming, envelope);
    if (envelope.type == MessageType::command) return take_command(incoming, envelope);
    if (envelope.type == MessageType::voters) return take_voters(incoming, envelope);
    return false;
}

// Where nobody votes, only the primary's release of its epoch means something (switchover.cc).
bool Node::State::take_vote(const Incoming& incoming, const Envelope& envelope) {
    auto body = decode_body(envelope, incoming.body.bytes());
    if (!body) return true;
    const Vote& vote = std::get<Vote>(*body);
    if (!keys.is_genuine(*bound, incoming, envelope, *body)) return true;
    auto message = failover::decode_message(vote.message);
    if (!message) return true;
    if (votes.votes()) {
        std::lock_guard lock(roles);
        if (failover) failover->deliver(vote.from, std::move(*message));
        return true;
    }
    if (const auto* release = std::get_if<failover::Release>(&*message)) {
        orders.put(node_order::TakeOver{release->cert, vote.from});
    }
    return true;
}

// Somebody believes to be our primary. Whoever has the lower epoch learns it here.
bool Node::State::answer_hello(const Incoming& incoming, const Envelope& envelope) {
    auto body = decode_body(envelope, incoming.body.bytes());
    if (!body) return true;
    const Hello& hello = std::get<Hello>(*body);
    const Epoch ours{epoch.load()};
    Refuse refusal{RefuseCode::not_a_replica, layout.db + " is a primary itself"};
    if (!keys.is_genuine(*bound, incoming, envelope, *body)) return true;
    if (hello.cluster != file.cluster || hello.group != file.group) {
        refusal = {RefuseCode::other_cluster, "this node belongs to another cluster or group"};
    } else if (envelope.epoch < ours) {
        refusal = {RefuseCode::stale_epoch,
                   "this node is the primary of epoch " + std::to_string(ours.value)};
    } else if (envelope.epoch > ours && votes.votes()) {
        refusal = {RefuseCode::unknown_session, "the token of that epoch has not come here yet"};
    } else if (envelope.epoch > ours) {
        superseded({envelope.epoch, hello.name});
        refusal = {RefuseCode::shutting_down, "this primary was superseded and becomes a replica"};
    }
    Message answer;
    answer.envelope.session = envelope.session;
    answer.envelope.epoch = ours;
    answer.body = std::move(refusal);
    Bytes bytes;
    Bytes text;
    encode(answer, bytes, text);
    bound->send(incoming.from, bytes, std::move(text));
    return true;
}

// -- Node

Result<std::unique_ptr<Node>> Node::start(const SqliteApi& api, NodeOptions options) {
    auto made = std::make_unique<State>(api, std::move(options));
    TANIST_TRY(made->open());
    State* state = made.get();
    state->membership = std::make_unique<MembershipWorker>(state->layout);
    TANIST_TRY(state->start_role());
    const bool can_vote = state->votes.votes() && state->voters_missing.empty();
    if (can_vote) TANIST_TRY(state->start_failover());
    auto admin = AdminServer::start(state->layout.directory,
                                    {.status = [state] { return status_json(state->layout); },
                                     .command =
                                         [state](std::string json, AdminServer::Answer answer) {
                                             state->take_local_command(json, std::move(answer));
                                         }});
    if (admin) {
        state->admin = std::move(admin).value();
    } else {
        // Replication does not depend on it.
        note(NoteLevel::warning, "no commands are taken", {{"reason", admin.error().message}});
    }
    state->thread = std::thread([state] { state->run(); });
    return std::unique_ptr<Node>(new Node(std::move(made)));
}

Node::Node(std::unique_ptr<State> state) : state_(std::move(state)) {}

Node::~Node() { stop(Nanos(0)); }

void Node::stop(Nanos patience) {
    if (state_->stopped) return;
    state_->stopped = true;
    state_->stopping.store(true);
    state_->orders.close();
    if (state_->thread.joinable()) state_->thread.join();
    state_->admin.reset();
    state_->membership->stop();
    state_->stop_failover(true);
    state_->stop_role(patience);
    state_->hooks.stop();
    state_->bound.reset();
    state_->ship_lock.release();
}

bool Node::finished(std::string* reason) const {
    std::lock_guard lock(state_->roles);
    if (!state_->broken.empty()) {
        *reason = state_->broken;
        return true;
    }
    return state_->engine && state_->engine->finished(reason);
}

void Node::wait_finished(int wake_fd) {
    std::string reason;
    while (!wait_readable(wake_fd, 500ms)) {
        if (finished(&reason)) return;
    }
}

Role Node::role() const { return state_->role.load(); }

const std::vector<std::string>& Node::endpoints() const { return state_->bound_endpoints; }

std::vector<std::string> Node::invitations() const {
    std::lock_guard lock(state_->roles);
    if (state_->witness) return state_->witness->invitations();
    return state_->replica ? state_->replica->invitations() : std::vector<std::string>{};
}

}  // namespace tanist
