#include "replicator/node/net_loop.h"

#include <algorithm>

#include "replicator/base/notes.h"
#include "replicator/base/priority.h"
#include "replicator/control/status.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kWaitLongest = 1s;

}  // namespace

// libzmq's own threads start with the first socket and inherit from the thread that makes it.
Status NetLoop::bind(const std::vector<std::string>& endpoints) {
    Status done = ok_status();
    std::thread([&] {
        give_way(shared_.gives_way);
        done = bind_all(endpoints);
    }).join();
    return done;
}

Status NetLoop::bind_all(const std::vector<std::string>& endpoints) {
    auto link = Link::create();
    if (!link) return std::move(link).error();
    link_ = std::move(link).value();
    door_ = std::make_unique<Door>(shared_.layout, shared_.settings);
    TANIST_TRY(door_->open(*link_));
    for (const std::string& endpoint : endpoints) {
        auto bound = door_->bind(*link_, endpoint);
        if (!bound) return std::move(bound).error();
        endpoints_.push_back(std::move(bound).value());
    }
    newcomer_ = std::make_unique<Newcomer>(*door_, shared_.layout.db);
    auto invited = newcomer_->invite(*link_, endpoints_, shared_.settings.invite_expires);
    if (!invited) return std::move(invited).error();
    invitations_ = std::move(invited).value();
    return ok_status();
}

void NetLoop::start(ReceiverStart start) {
    receiver_ = std::make_unique<Receiver>(std::move(start));
    thread_ = std::thread([this] { run(); });
}

void NetLoop::stop() {
    if (!thread_.joinable()) return;
    stopping_.store(true);
    shared_.to_net.put(receiver_event::ShuttingDown{});
    thread_.join();
    link_.reset();
}

void NetLoop::run() {
    give_way(shared_.gives_way);
    while (true) {
        Nanos left = receiver_->deadline() - boot_now();
        link_->wait({shared_.to_net.fd()}, std::clamp(left, Nanos(0), kWaitLongest));
        for (ReceiverEvent& event : shared_.to_net.take()) step(event);
        if (stopping_.load()) return;
        receive_all();
        newcomer_->tick(*link_);
        step(receiver_event::Tick{});
        publish_view();
    }
}

void NetLoop::receive_all() {
    while (auto incoming = link_->receive()) {
        auto envelope = decode_envelope(incoming->envelope);
        if (!envelope) {
            note(NoteLevel::warning, "message refused", {{"reason", envelope.error().message}});
            continue;
        }
        if (!door_->admits(*link_, *incoming, *envelope)) continue;
        if (envelope->type == MessageType::status_ask) {
            serve_status(*incoming, *envelope);
            continue;
        }
        auto body = decode_body(*envelope, incoming->body.bytes());
        if (!body) {
            note(NoteLevel::warning, "message refused", {{"reason", body.error().message}});
            continue;
        }
        if (!door_->is_genuine(*link_, *incoming, *envelope, *body)) continue;
        if (newcomer_->takes(*link_, *incoming, *envelope, *body, shared_.node.cluster)) continue;
        if (auto* hello = std::get_if<Hello>(&*body))
            hello->node = door_->first_key_of(hello->node);
        frame_ = incoming->body;
        step(receiver_event::Received{incoming->from, *envelope, std::move(body).value()});
        frame_ = {};
    }
}

void NetLoop::step(const ReceiverEvent& event) {
    auto actions = receiver_->step(event, boot_now());
    for (ReceiverAction& action : actions) perform(action);
    shared_.to_store.put_all(to_store_);
}

void NetLoop::perform(ReceiverAction& action) {
    std::visit([this](auto& a) { act(a); }, action);
}

void NetLoop::send(LinkId to, const Message& message) {
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    if (!link_->send(to, envelope, std::move(body)))
        shared_.to_net.put(receiver_event::SendFailed{to});
}

void NetLoop::act(receiver_action::Send& action) {
    // The key may have been rotated since the receiver was made.
    if (auto* welcome = std::get_if<Welcome>(&action.message.body)) {
        welcome->node = door_->identity().key();
    }
    send(action.to, action.message);
}

void NetLoop::act(receiver_action::Adopt& action) {
    NodeFile node = shared_.node;
    node.cluster = action.cluster;
    node.group = action.group;
    node.epoch = std::max(node.epoch, action.epoch);
    if (auto written = write_node_file(shared_.layout.node(), node); !written) {
        shared_.control.set_problem(written.error().message);
        return;
    }
    shared_.node = node;
    shared_.control->epoch.store(node.epoch.value);
    to_store_.push_back(store_command::Create{node.group});
}

void NetLoop::act(receiver_action::PersistEpoch& action) {
    NodeFile node = shared_.node;
    node.epoch = action.epoch;
    if (auto written = write_node_file(shared_.layout.node(), node); !written) {
        shared_.control.set_problem(written.error().message);
        return;
    }
    shared_.node = node;
    shared_.control->epoch.store(node.epoch.value);
    shared_.to_net.put(receiver_event::EpochDurable{action.epoch});
}

void NetLoop::act(receiver_action::AppendBegin& action) {
    to_store_.push_back(store_command::Begin{action.header});
}

void NetLoop::act(receiver_action::AppendPart& action) {
    to_store_.push_back(store_command::Part{frame_, action.bytes});
}

void NetLoop::act(receiver_action::AppendFinish& action) {
    to_store_.push_back(store_command::Finish{action.header});
}

void NetLoop::act(receiver_action::AppendAbandon&) {
    to_store_.push_back(store_command::Abandon{});
}

void NetLoop::act(receiver_action::CommittedUpTo& action) {
    shared_.committed_lsn.store(action.lsn.value);
    if (shared_.durable_lsn.load() >= action.lsn.value)
        shared_.to_apply.put(apply_command::Apply{});
}

void NetLoop::act(receiver_action::ResetLog& action) {
    to_store_.push_back(store_command::Reset{action.base});
}

void NetLoop::act(receiver_action::SyncBegan& action) {
    shared_.to_apply.put(apply_command::SyncBegan{action.begin});
}

void NetLoop::act(receiver_action::SyncGotPages& action) {
    shared_.to_apply.put(apply_command::SyncGot{frame_, std::move(action.pages)});
}

void NetLoop::act(receiver_action::SyncComplete& action) {
    shared_.to_apply.put(apply_command::SyncComplete{action.end});
}

void NetLoop::act(receiver_action::SyncAborted&) {
    shared_.to_apply.put(apply_command::SyncAborted{});
}

void NetLoop::act(receiver_action::PrimaryHeard& action) {
    shared_.control->primary_lsn.store(action.end.lsn.value, std::memory_order_relaxed);
    shared_.control->primary_heard_ns.store(boot_now().ns, std::memory_order_relaxed);
    primary_log_bytes_ = action.log_bytes;
}

void NetLoop::act(receiver_action::Report& action) {
    note(NoteLevel::info, "replica", {{"event", action.what}});
}

void NetLoop::serve_status(const Incoming& incoming, const Envelope& asked) {
    publish_view();
    Message answer;
    answer.envelope.session = asked.session;
    answer.envelope.epoch = shared_.node.epoch;
    answer.body = StatusText{status_json(shared_.layout)};
    send(incoming.from, answer);
}

void NetLoop::publish_view() {
    ReceiverView view = receiver_->view();
    Instant now = boot_now();
    ControlBlock& block = *shared_.control;
    block.engine_beat_ns.store(now.ns, std::memory_order_relaxed);
    shared_.control.set_captured({.position = {view.epoch, view.received}});
    if (view.refusal != told_refusal_) shared_.control.set_notice(view.refusal);
    told_refusal_ = view.refusal;
    std::string state = view.connected ? "connected" : "waiting for its primary";
    if (view.state == ReplicaState::empty) state += ", empty";
    if (view.state == ReplicaState::needs_sync) state += ", delta sync";
    if (state == told_state_) return;
    told_state_ = state;
    Control::set_text(block.replica_state, sizeof block.replica_state, state);
}

}  // namespace tanist
