#include "replicator/node/ship_loop.h"

#include <algorithm>

#include "replicator/base/notes.h"
#include "replicator/base/priority.h"
#include "replicator/base/random.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kMembersEvery = 500ms;
constexpr Nanos kWaitLongest = 1s;
// What came over a connection and was not read yet is lost when libzmq notices that it was cut. No
// answer keeps a key that was taken off in force for longer than the second.
constexpr Nanos kAnswerIsRead = 500ms;
constexpr Nanos kAnswerFirst = 3s;
constexpr Nanos kKeysEvery = 10ms;

}  // namespace

ShipLoop::ShipLoop(const SqliteApi& api, ShipLoopOptions options, Log& log, Control& control,
                   CaptureLoop& capture)
    : api_(api), options_(std::move(options)), log_(log), control_(control), capture_(capture) {}

ShipLoop::~ShipLoop() { stop(Nanos(0)); }

Status ShipLoop::start() {
    if (options_.host != nullptr) {
        link_ = &options_.host->link();
        door_ = &options_.host->door();
        endpoints_ = options_.host->endpoints();
        own_endpoint_ = options_.host->own_endpoint();
    } else {
        auto link = Link::create();
        if (!link) return std::move(link).error();
        own_link_ = std::move(link).value();
        link_ = own_link_.get();
        own_door_ = std::make_unique<Door>(options_.layout, options_.settings);
        door_ = own_door_.get();
        TANIST_TRY(door_->open(*link_));
    }
    announcer_ = std::make_unique<Announcer>(*door_);
    witness_links_ = std::make_unique<WitnessLinks>(*door_, *announcer_);
    // libzmq's own threads start with the first socket and inherit from the thread that makes it.
    std::thread([this] {
        give_way(kShippingGivesWay);
        syncs_ = std::make_unique<SyncWorker>(api_, options_.layout.db);
        reload_members();
    }).join();
    open_chime();
    thread_ = std::thread([this] { run(); });
    return ok_status();
}

void ShipLoop::stop(Nanos patience) {
    if (!thread_.joinable()) return;
    Instant give_up = boot_now() + patience;
    // A sync cannot end any more: capture, which it waits for, has stopped.
    while (served_to_.load() < log_.end().position.lsn.value && boot_now() < give_up) {
        wake_.signal();
        std::atomic<uint32_t> word{0};
        futex_wait(&word, 0, 5ms);
    }
    control_->hears_chime.store(0, std::memory_order_release);
    stopping_.store(true);
    wake_.signal();
    thread_.join();
    for (auto& peer : peers_) {
        Message goodbye;
        goodbye.envelope.session = peer->session;
        goodbye.envelope.epoch = options_.self.epoch;
        goodbye.body = Refuse{RefuseCode::shutting_down, "the primary's engine stops"};
        Bytes envelope;
        Bytes body;
        encode(goodbye, envelope, body);
        if (peer->main != 0) link_->send(peer->main, envelope, std::move(body));
    }
    for (auto& peer : peers_) perform(*peer, follower_action::Disconnect{});
    syncs_.reset();
    own_link_.reset();
}

void ShipLoop::open_chime() {
    auto chime = Chime::make(options_.layout.chime(), options_.layout.control());
    if (!chime) {
        note(NoteLevel::warning, "commits that wait ring the bell instead",
             {{"reason", chime.error().message}});
        return;
    }
    chime_ = std::move(chime).value();
    gathering_ = Gathering(control_->gather.commits.load());
    control_->hears_chime.store(1, std::memory_order_release);
}

void ShipLoop::run() {
    give_way(kShippingGivesWay);
    std::vector<int> fds = {chime_.fd(), capture_.watch().fd(), wake_.fd(), syncs_->fd(),
                            votes_.fd()};
    if (options_.host != nullptr) fds.push_back(options_.host->answers_fd());
    while (!stopping_.load()) {
        const uint64_t rung = link_->wait(fds, until_next_deadline());
        if ((rung & 1) != 0 && chime_.drain()) ship_what_is_waited_for();
        wake_.drain();
        if ((rung & 2) != 0 && capture_.watch().drain()) capture_.wake();
        reload_members();
        receive_all();
        ship_what_was_gathered();
        tend_keys();
        send_sync_pages();
        end_settled();
        for (auto& peer : peers_) step(*peer, follower_event::Tick{});
        publish_views();
        tell_roster();
        send_votes();
        if (options_.host != nullptr) options_.host->send_answers();
    }
}

Nanos ShipLoop::until_next_deadline() const {
    Instant now = boot_now();
    Nanos wait = kWaitLongest;
    for (const auto& peer : peers_) {
        Nanos left = peer->follower->deadline() - now;
        wait = std::clamp(left, Nanos(0), wait);
        if (peer->settling) wait = std::min(wait, Nanos(10ms));
    }
    return wait;
}

// Members of the file and the endpoints of `replicas=` are one list; a member that left the file
// is disconnected, its slot in the control block stays empty.
void ShipLoop::reload_members() {
    Instant now = boot_now();
    if (members_changed_ns_ != -1 && now - members_looked_ < kMembersEvery) return;
    members_looked_ = now;
    auto stat = stat_path(options_.layout.members());
    int64_t changed = stat ? stat->changed_ns : 0;
    if (changed == members_changed_ns_) return;
    auto read = read_members(options_.layout.members());
    if (!read) {
        note(NoteLevel::error, "member list not read", {{"reason", read.error().message}});
        return;
    }
    members_changed_ns_ = changed;
    std::vector<Member> members = std::move(read).value();
    for (const std::string& endpoint : options_.settings.replicas)
        if (std::none_of(members.begin(), members.end(),
                         [&](const Member& m) { return m.endpoint == endpoint; }))
            members.push_back({.name = endpoint, .endpoint = endpoint, .key = {}});
    std::erase_if(peers_, [&](std::unique_ptr<Peer>& peer) {
        bool stays = std::any_of(members.begin(), members.end(), [&](const Member& m) {
            return m.endpoint == peer->member.endpoint;
        });
        if (!stays) {
            perform(*peer, follower_action::Disconnect{});
            control_.set_ack(peer->slot, {});
        }
        return !stays;
    });
    std::erase_if(members, [&](const Member& member) { return is_self(member); });
    witnesses_.clear();
    std::copy_if(members.begin(), members.end(), std::back_inserter(witnesses_),
                 [](const Member& member) { return member.witness; });
    std::erase_if(members, [&](const Member& member) { return member.witness || !options_.ships; });
    for (const Member& member : members) {
        bool known = std::any_of(peers_.begin(), peers_.end(), [&](auto& peer) {
            if (peer->member.endpoint != member.endpoint) return false;
            peer->member.key = member.key;
            return true;
        });
        if (known || peers_.size() >= limits::kMembersMax) continue;
        auto peer = std::make_unique<Peer>();
        peer->member = member;
        peer->follower = std::make_unique<Follower>(options_.self, random_u64());
        peer->reader = log_.reader();
        peer->slot = free_slot();
        control_->acks.store(
            std::max(control_->acks.load(), static_cast<uint32_t>(peer->slot) + 1));
        peers_.push_back(std::move(peer));
    }
    control_->peers.store(static_cast<uint32_t>(peers_.size()));
}

// A node that was a replica has itself in its list.
bool ShipLoop::is_self(const Member& member) const {
    return member.key == options_.self.node || member.endpoint == own_endpoint_ ||
           std::find(endpoints_.begin(), endpoints_.end(), member.endpoint) != endpoints_.end();
}

// Who belongs to the cluster, to everybody: whoever is promoted connects to the others, and to us.
void ShipLoop::tell_roster() {
    if (roster_looked_ == members_looked_) return;
    roster_looked_ = members_looked_;
    // Without a member list connections are plain, and a key would ask for CURVE.
    const bool keyed = door_->list().version > 0;
    std::vector<Member> all;
    if (!own_endpoint_.empty()) {
        all.push_back({options_.self.name, own_endpoint_, keyed ? options_.self.node : NodeKey{}});
    }
    for (const auto& peer : peers_) {
        all.push_back({peer->member.name, peer->member.endpoint, peer->member.key});
    }
    all.insert(all.end(), witnesses_.begin(), witnesses_.end());
    const std::string text = members_text(all);
    for (auto& peer : peers_) {
        const PeerState state = peer->follower->view().state;
        const bool up = state == PeerState::streaming || state == PeerState::syncing;
        const bool told = peer->roster_session == peer->session && peer->roster_told == text;
        if (!up || told) continue;
        peer->roster_session = peer->session;
        peer->roster_told = text;
        send_apart(*peer, Roster{text});
    }
}

void ShipLoop::send_votes() {
    for (auto& [endpoint, vote] : votes_.take()) {
        for (auto& peer : peers_) {
            if (peer->member.endpoint != endpoint || peer->main == 0) continue;
            send_apart(*peer, Vote{options_.self.node, std::move(vote)});
            break;
        }
    }
}

// Within the session, beside what its Follower says.
void ShipLoop::send_apart(Peer& peer, Body content) {
    Message message;
    message.envelope.session = peer.session;
    message.envelope.epoch = options_.self.epoch;
    message.body = std::move(content);
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    if (!link_->send(peer.main, envelope, std::move(body)))
        step(peer, follower_event::LinkFailed{"the connection takes nothing"});
}

// Requires: fewer than limits::kMembersMax peers.
size_t ShipLoop::free_slot() const {
    for (size_t slot = 0;; ++slot) {
        if (std::none_of(peers_.begin(), peers_.end(),
                         [&](auto& peer) { return peer->slot == slot; }))
            return slot;
    }
}

// A list that takes a key off cuts every connection, also that of the operator who ordered it, and
// is to hear that it was done.
bool ShipLoop::may_take_list() {
    const Instant now = boot_now();
    if (options_.host != nullptr && options_.host->changes_members()) members_changing_ = now;
    const bool awaited = now - members_changing_ < kAnswerIsRead;
    if (awaited && now - list_looked_ < kAnswerFirst) return false;
    list_looked_ = now;
    return true;
}

// The list goes to whoever lacks it; a new key of this node begins every session anew.
void ShipLoop::tend_keys() {
    const Instant now = boot_now();
    if (now - keys_tended_ < kKeysEvery) return;
    keys_tended_ = now;
    std::vector<Member> members;
    std::vector<MemberLink> links;
    for (const auto& peer : peers_) {
        members.push_back(peer->member);
        if (peer->follower->view().state >= PeerState::syncing && peer->main != 0)
            links.push_back({peer->main, peer->session, peer->server});
    }
    for (auto& peer : peers_) {
        if (peer->main != 0 && !announcer_->may_keep(peer->server, peer->member.key))
            step(*peer, follower_event::LinkFailed{"its key was taken off the list"});
    }
    if (options_.ships) {
        members.insert(members.end(), witnesses_.begin(), witnesses_.end());
        witness_links_->tend(*link_, witnesses_, now);
    }
    if (may_take_list()) announcer_->look(*link_, members, links);
    members_kept_.store(announcer_->kept_by_all(members));
    if (options_.self.node == door_->identity().key()) return;
    options_.self.node = door_->identity().key();
    for (auto& peer : peers_) {
        peer->follower->set_identity(options_.self);
        step(*peer, follower_event::LinkFailed{"this node has a new key"});
    }
}

// Capture publishes a record before it says that it is settled.
LogView ShipLoop::log_view() {
    const Lsn committed{control_->committed_lsn.load(std::memory_order_acquire)};
    LogStat stat = log_.stat();
    return {.base = stat.base,
            .first = stat.first,
            .end = stat.end,
            .committed = committed,
            .bytes = capture_.view().log_bytes.load(std::memory_order_relaxed),
            .news_waits_until = news_waits_until_};
}

void ShipLoop::receive_all() {
    while (auto incoming = link_->receive()) {
        auto envelope = decode_envelope(incoming->envelope);
        if (!envelope) continue;
        if (witness_links_->takes(*link_, *incoming, *envelope)) continue;
        auto at = by_link_.find(incoming->from);
        if (served_apart(at == by_link_.end() ? nullptr : at->second, *incoming, *envelope)) {
            continue;
        }
        if (at == by_link_.end()) continue;  // of a session that is over
        Peer& peer = *at->second;
        auto body = decode_body(*envelope, incoming->body.bytes());
        if (!body) {
            step(peer, follower_event::LinkFailed{body.error().message});
            continue;
        }
        const MemberLink member{incoming->from, peer.session, peer.server};
        if (announcer_->takes(*link_, member, *body)) continue;
        if (envelope->type == MessageType::welcome) announcer_->welcomed(*link_, member);
        if (incoming->from == peer.sync)
            step(peer, follower_event::SyncReceived{*envelope, std::move(body).value()});
        else
            step(peer, follower_event::Received{*envelope, std::move(body).value()});
    }
}

void ShipLoop::end_settled() {
    for (auto& peer : peers_) {
        if (!peer->settling || !capture_.barrier_passed(*peer->settling)) continue;
        peer->settling.reset();
        auto settled = settled_point(*peer);
        if (settled)
            step(*peer, follower_event::SyncSourceEnded{settled->position});
        else
            step(*peer, follower_event::SyncSourceFailed{settled.error().message});
    }
}

// Whoever refuses for that reason belongs to our cluster and group. A stranger at a member's
// endpoint says which epoch it has, too, and that one means nothing here.
bool ShipLoop::refuses_epoch(const Incoming& incoming, const Envelope& envelope) const {
    if (envelope.type != MessageType::refuse || envelope.epoch <= options_.self.epoch) return false;
    auto body = decode_body(envelope, incoming.body.bytes());
    return body && std::get<Refuse>(*body).code == RefuseCode::stale_epoch;
}

// What is no business of the session's Follower.
bool ShipLoop::served_apart(Peer* peer, const Incoming& incoming, const Envelope& envelope) {
    if (peer == nullptr) {
        if (!door_->admits(*link_, incoming, envelope)) return true;
        if (envelope.type == MessageType::status_ask) {
            serve_status(incoming, envelope);
            return true;
        }
        return options_.host != nullptr && options_.host->serve(incoming, envelope);
    }
    if (envelope.type == MessageType::history_ask) {
        answer_history(incoming, envelope);
        return true;
    }
    if (refuses_epoch(incoming, envelope)) {
        options_.superseded({envelope.epoch, peer->member.endpoint});
    }
    return false;
}

// A replica looks for the last record that its log and ours have in common.
void ShipLoop::answer_history(const Incoming& incoming, const Envelope& envelope) {
    auto ask = decode_body(envelope, incoming.body.bytes());
    if (!ask) return;
    Message answer;
    answer.envelope.session = envelope.session;
    answer.envelope.epoch = options_.self.epoch;
    History history;
    history.asked = std::get<HistoryAsk>(*ask).lsn;
    if (auto header = log_.reader()->header_of(history.asked)) {
        history.known = true;
        history.position = header->position();
        history.chain = header->chain;
    } else if (history.asked == log_.base().position.lsn) {
        history.known = history.asked.value != 0;
        history.position = log_.base().position;
        history.chain = log_.base().chain;
    }
    answer.body = history;
    Bytes bytes;
    Bytes body;
    encode(answer, bytes, body);
    link_->send(incoming.from, bytes, std::move(body));
}

void ShipLoop::serve_status(const Incoming& incoming, const Envelope& asked) {
    Message answer;
    answer.envelope.session = asked.session;
    answer.envelope.epoch = options_.self.epoch;
    answer.body = StatusText{options_.status_json()};
    Bytes envelope;
    Bytes body;
    encode(answer, envelope, body);
    link_->send(incoming.from, envelope, std::move(body));
}

// The last record that is settled: what a database's pages show is at least that.
Result<LogPoint> ShipLoop::settled_point(Peer& peer) {
    const Lsn committed{control_->committed_lsn.load(std::memory_order_acquire)};
    const LogStat stat = log_.stat();
    if (committed >= stat.end.position.lsn) return stat.end;
    if (committed == stat.base.position.lsn) return stat.base;
    auto header = peer.reader->header_of(committed);
    if (!header) return std::move(header).error();
    return LogPoint{header->position(), header->chain};
}

// Actions may raise events (a chunk left, a lookup is answered); they are stepped in order.
void ShipLoop::step(Peer& peer, const FollowerEvent& event) {
    pending_.emplace_back(&peer, event);
    if (pending_.size() > 1) return;  // an outer call drains it
    while (!pending_.empty()) {
        auto& [target, next] = pending_.front();
        auto actions = target->follower->step(next, log_view(), boot_now());
        Peer& acting = *target;
        for (FollowerAction& action : actions) perform(acting, std::move(action));
        pending_.pop_front();
    }
}

void ShipLoop::perform(Peer& peer, FollowerAction&& action) {
    std::visit([&](auto& a) { act(peer, a); }, action);
}

void ShipLoop::act(Peer& peer, follower_action::Connect&) {
    peer.server = announcer_->key_for(peer.member.key, peer.attempts++);
    auto link = door_->connect(*link_, peer.member.endpoint, peer.server);
    if (!link) {
        pending_.emplace_back(&peer, follower_event::LinkFailed{link.error().message});
        return;
    }
    peer.main = *link;
    by_link_[peer.main] = &peer;
}

void ShipLoop::act(Peer& peer, follower_action::Disconnect&) {
    for (LinkId* link : {&peer.main, &peer.sync}) {
        if (*link == 0) continue;
        by_link_.erase(*link);
        link_->close(*link);
        *link = 0;
    }
    if (peer.job != 0) syncs_->cancel(peer.job);
    peer.job = 0;
    peer.settling.reset();
}

void ShipLoop::act(Peer& peer, follower_action::Send& action) {
    peer.session = action.message.envelope.session;
    if (auto* heartbeat = std::get_if<Heartbeat>(&action.message.body))
        heartbeat->sent_unix_ns = unix_now_ns();
    Bytes envelope;
    Bytes body;
    encode(action.message, envelope, body);
    if (!link_->send(action.on_sync_socket ? peer.sync : peer.main, envelope, std::move(body)))
        fail_link(peer);
}

void ShipLoop::fail_link(Peer& peer) {
    pending_.emplace_back(&peer, follower_event::LinkFailed{"the connection takes nothing"});
}

void ShipLoop::act(Peer& peer, follower_action::LookUp& action) {
    follower_event::HistoryLookedUp answer{action.lsn, std::nullopt};
    if (auto header = peer.reader->header_of(action.lsn))
        answer.point = LogPoint{header->position(), header->chain};
    pending_.emplace_back(&peer, answer);
}

void ShipLoop::act(Peer& peer, follower_action::StartSync&) {
    auto base = settled_point(peer);
    auto link = door_->connect(*link_, peer.member.endpoint, peer.server);
    if (!link || !base) {
        pending_.emplace_back(
            &peer, follower_event::SyncSourceFailed{(link ? base.error() : link.error()).message});
        return;
    }
    peer.sync = *link;
    by_link_[peer.sync] = &peer;
    peer.job = ++jobs_;
    SyncWorkerAsk begin;
    begin.job = peer.job;
    begin.base = *base;
    syncs_->ask(std::move(begin));
}

void ShipLoop::act(Peer& peer, follower_action::AnswerSyncAsk& action) {
    SyncWorkerAsk ask;
    ask.job = peer.job;
    ask.envelope = action.envelope;
    ask.ask = std::move(action.ask);
    syncs_->ask(std::move(ask));
}

void ShipLoop::act(Peer& peer, follower_action::SettleSync&) {
    peer.settling = capture_.request_barrier();
}

void ShipLoop::act(Peer& peer, follower_action::StopSync&) {
    if (peer.job != 0) syncs_->cancel(peer.job);
    peer.job = 0;
    if (peer.sync != 0) {
        by_link_.erase(peer.sync);
        link_->close(peer.sync);
        peer.sync = 0;
    }
    peer.settling.reset();
}

// A committer may wait for this one.
void ShipLoop::act(Peer& peer, follower_action::Acknowledged& action) {
    const AckPoint point{action.received, action.durable, action.applied};
    const auto count = [&] {
        const Lsn was_durable = control_.acks().point[peer.slot].durable;
        control_.set_ack(peer.slot, point);
        control_.bump_acks(action.durable != was_durable);
        gathering_.confirmed(receipts_are_wanted() ? point.received : point.durable);
    };
    if (options_.host == nullptr) return count();
    options_.host->suffrage().count(options_.self.epoch, peer.member.endpoint, point, count);
}

void ShipLoop::act(Peer& peer, follower_action::Report& action) {
    // What it holds is about to be replaced.
    if (action.state == PeerState::syncing) control_.set_ack(peer.slot, {});
    note(action.state == PeerState::refused ? NoteLevel::warning : NoteLevel::info, "replica",
         {{"endpoint", peer.member.endpoint},
          {"state", to_string(action.state)},
          {"reason", action.reason}});
}

void ShipLoop::send_sync_pages() {
    for (SyncWorkerAnswer& answer : syncs_->take()) {
        auto at = std::find_if(peers_.begin(), peers_.end(),
                               [&](auto& peer) { return peer->job == answer.job; });
        if (at == peers_.end() || (*at)->sync == 0) continue;
        if (answer.begin)
            step(**at, follower_event::SyncSourceReady{*answer.begin});
        else if (answer.envelope.empty())
            step(**at, follower_event::SyncSourceFailed{answer.failure});
        else if (!link_->send((*at)->sync, answer.envelope, std::move(answer.body)))
            step(**at, follower_event::LinkFailed{"the sync connection takes nothing"});
    }
}

}  // namespace tanist
