#include "replicator/node/net_loop.h"

#include <algorithm>

#include "replicator/base/notes.h"
#include "replicator/base/priority.h"
#include "replicator/control/members.h"
#include "replicator/control/primary_endpoint.h"
#include "replicator/control/setup.h"
#include "replicator/control/status.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kWaitLongest = 1s;
// Beyond it the store thread begins while more is received.
constexpr size_t kCommandsTogether = 96;

}  // namespace

Status NetLoop::invite() {
    link_ = &shared_.host->link();
    door_ = &shared_.host->door();
    newcomer_ = std::make_unique<Newcomer>(*door_, shared_.layout.db);
    auto invited =
        newcomer_->invite(*link_, shared_.host->endpoints(), shared_.settings.invite_expires);
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
}

void NetLoop::run() {
    give_way(shared_.gives_way);
    while (true) {
        Nanos left = receiver_->deadline() - boot_now();
        link_->wait({shared_.to_net.fd(), shared_.host->answers_fd()},
                    std::clamp(left, Nanos(0), kWaitLongest));
        hear_others();
        if (stopping_.load()) return;
        receive_all();
        shared_.host->send_answers();
        newcomer_->tick(*link_);
        if (tail_check_.waiting()) check_tail();
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
        // Without voters, a release of the epoch counts when it comes from the primary that we
        // follow.
        if (envelope->type == MessageType::vote && !shared_.host->suffrage().votes() &&
            incoming->from != receiver_->view().link)
            continue;
        if (shared_.host->serve(*incoming, *envelope)) continue;
        auto body = decode_body(*envelope, incoming->body.bytes());
        if (!body) {
            note(NoteLevel::warning, "message refused", {{"reason", body.error().message}});
            continue;
        }
        if (!door_->is_genuine(*link_, *incoming, *envelope, *body)) continue;
        if (newcomer_->takes(*link_, *incoming, *envelope, *body, shared_.node.cluster)) continue;
        if (const auto* history = std::get_if<History>(&*body)) {
            const bool ours = envelope->session == receiver_->view().session;
            if (ours && tail_check_.answered(*history, *shared_.log)) go_on_with_sync();
            continue;
        }
        if (const auto* roster = std::get_if<Roster>(&*body)) {
            keep_roster(*envelope, *roster);
            continue;
        }
        // Where voters elect, a new key of the primary comes with a new epoch.
        auto* hello = std::get_if<Hello>(&*body);
        if (hello != nullptr && !shared_.host->suffrage().votes())
            hello->node = door_->first_key_of(hello->node);
        if (!admitted(*incoming, *envelope, *body)) continue;
        frame_ = incoming->body;
        perform_all(receiver_event::Received{incoming->from, *envelope, std::move(body).value()});
        frame_ = {};
        if (to_store_.size() >= kCommandsTogether) store_.hand_over(to_store_);
    }
    // What came together is synced together.
    store_or_hand_over();
}

// All of it before anything is stored, which adds to it.
void NetLoop::hear_others() {
    for (const ReceiverEvent& event : shared_.to_net.take()) perform_all(event);
    store_or_hand_over();
}

void NetLoop::step(const ReceiverEvent& event) {
    perform_all(event);
    store_or_hand_over();
}

void NetLoop::perform_all(const ReceiverEvent& event) {
    auto actions = receiver_->step(event, boot_now());
    for (ReceiverAction& action : actions) perform(action);
}

// The receiver answers what was stored with messages, and with commands only when something failed.
void NetLoop::store_or_hand_over() {
    if (to_store_.empty()) return;
    if (store_.append_here(to_store_)) {
        for (const ReceiverEvent& event : shared_.to_net.take()) perform_all(event);
        store_.sync_here();
        for (const ReceiverEvent& event : shared_.to_net.take()) perform_all(event);
        store_.applies_now();
    }
    store_.hand_over(to_store_);
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

// Rule A1 of the failover protocol: only the holder of the epoch that is promised here is heard.
bool NetLoop::admitted(const Incoming& incoming, const Envelope& envelope, const Body& body) {
    if (!shared_.host->suffrage().votes()) return true;
    const auto* hello = std::get_if<Hello>(&body);
    const NodeKey from = hello != nullptr ? hello->node : receiver_->view().primary;
    const auto admission = shared_.host->suffrage().admit(envelope.epoch, from);
    if (admission == Suffrage::Admission::take) return true;
    if (hello == nullptr) {
        perform_all(receiver_event::NotAdmitted{incoming.from, envelope});
        return false;
    }
    const bool stale = admission == Suffrage::Admission::stale;
    door_->refuse(
        *link_, incoming.from, envelope,
        stale ? RefuseCode::stale_epoch : RefuseCode::unknown_session,
        stale ? "a later epoch was granted here" : "the token of this epoch has not come here yet");
    return false;
}

// What says how far this log is leaves only while nothing higher is promised (rule A3).
void NetLoop::act(receiver_action::Send& action) {
    // The key may have been rotated since the receiver was made.
    auto* welcome = std::get_if<Welcome>(&action.message.body);
    if (welcome != nullptr) welcome->node = door_->identity().key();
    if (welcome == nullptr && !std::holds_alternative<Ack>(action.message.body)) {
        return send(action.to, action.message);
    }
    shared_.host->suffrage().acknowledge(action.message.envelope.epoch,
                                         [&] { send(action.to, action.message); });
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
    const Lsn before{shared_.committed_lsn.exchange(action.lsn.value)};
    // Of what is not durable yet the store thread tells when it is.
    const Lsn durable{shared_.durable_lsn.load()};
    if (appliable(durable, action.lsn) > appliable(durable, before))
        shared_.to_apply.put(apply_command::Apply{});
}

// A sync that is installed throws the log away. What it holds that its new primary does not have is
// saved first.
void NetLoop::act(receiver_action::BeginSyncLog& action) {
    begins_ = {action.base, action.number};
    check_tail();
}

void NetLoop::act(receiver_action::DropSyncLog&) {
    tail_check_ = {};
    to_store_.push_back(store_command::DropSyncLog{});
}

void NetLoop::act(receiver_action::KeepSyncLog&) {
    to_store_.push_back(store_command::KeepSyncLog{});
}

void NetLoop::check_tail() {
    if (tail_check_.begin(receiver_->view(), *shared_.log)) go_on_with_sync();
}

// Where there are no keys: who belongs to the cluster, for the day on which this node is promoted.
void NetLoop::keep_roster(const Envelope& envelope, const Roster& roster) {
    const ReceiverView view = receiver_->view();
    if (!view.connected || envelope.session != view.session) return;
    const auto members = parse_members("roster", roster.text);
    if (!members) {
        note(NoteLevel::warning, "roster refused", {{"reason", members.error().message}});
        return;
    }
    // A primary names itself first; it is missing when it listens nowhere.
    const bool listens = !members->empty() && members->front().name == view.primary_name;
    keep_primary_endpoint(shared_.layout, listens ? members->front().endpoint : "");
    const auto replace_if_new = [&]() -> Status {
        // The node thread writes the same file when an operator forces a promotion.
        auto lock = lock_directory(shared_.layout.directory);
        if (!lock) return std::move(lock).error();
        auto held = read_file(shared_.layout.members(), limits::kControlBodyBytesMax);
        if (held && std::string(held->begin(), held->end()) == roster.text) return ok_status();
        return replace_file(shared_.layout.members(), view_of(roster.text));
    };
    if (auto kept = replace_if_new(); !kept) shared_.control.set_problem(kept.error().message);
}

void NetLoop::go_on_with_sync() {
    if (std::optional<Lsn> asked = tail_check_.question()) {
        ReceiverView view = receiver_->view();
        Message question;
        question.envelope.session = view.session;
        question.envelope.epoch = view.epoch;
        question.body = HistoryAsk{*asked};
        send(view.link, question);
        return;
    }
    if (std::optional<Divergence> found = tail_check_.divergence()) {
        note(NoteLevel::warning, "our log has records that the primary does not have",
             {{"common", to_string(found->common.position)},
              {"end", to_string(shared_.log->end().position)},
              {"primary", found->primary}});
        shared_.host->diverged(*found);
        return;
    }
    to_store_.push_back(begins_);
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
    shared_.whole.store(view.whole);
    block.engine_beat_ns.store(now.ns, std::memory_order_relaxed);
    shared_.control.set_captured({.position = view.end.position});
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
