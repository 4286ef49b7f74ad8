#include "replicator/ship/follower.h"

#include <algorithm>
#include <cassert>

#include "replicator/ship/lag.h"

namespace tanist {
namespace {

namespace ev = follower_event;
namespace act = follower_action;

// One full chunk: less credit than this is not worth a round.
constexpr uint64_t kBudgetMin = limits::kBodyBytesMax + kDataPrefixBytes;

// The session's phase. `checking`: WELCOME is here, the chain at the replica's end is looked up.
enum class Phase { idle, connecting, checking, streaming, syncing };

// Within syncing. `opening`: StartSync is out. `begun`: sync_begin is out, the replica has not
// answered, so records must not be sent yet: its log may still end somewhere else. `copying`:
// it asks for ranges. `settling`: every range is served, capture looks once more. `ending`:
// sync_end is out.
enum class SyncStep { none, opening, begun, copying, settling, ending };

// A sync socket that was lost alone, before the replica answered, is noticed by nothing else.
constexpr Nanos kSyncUnansweredAfter = std::chrono::seconds(10);

// splitmix64.
uint64_t next_random(uint64_t& state) {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

}  // namespace

struct Follower::State {
    FollowerIdentity self;
    uint64_t random = 0;
    Phase phase = Phase::idle;
    SyncStep sync = SyncStep::none;
    bool refused = false;    // the last session ended by a refusal; for the view
    bool renew = false;      // the epoch changed: the session must say HELLO again
    bool following = false;  // its history was ours when last seen: `received` says what it needs
    std::string reason;
    NodeKey node;
    Lsn received, durable, applied;
    uint64_t session = 0;
    // Cumulative since the session's start. Invariant: sent <= credit.
    uint64_t sent = 0;
    uint64_t credit = 0;
    Lsn next;                  // the record to send next, and from which of its bytes
    uint64_t next_offset = 0;  //
    bool sending = false;      // SendRecords is out, its Sent not yet in
    bool log_grew = true;      // worth another SendRecords
    Lsn end_seen, committed_told;
    LogPoint welcome_end;  // while checking
    Lsn sync_base, sync_end;
    uint64_t syncs = 0;  // begun in this session; the number of the newest
    LagHistory lag_history;
    Instant now, heard, started, due, last_beat, last_commit, sync_begun;
    Nanos backoff = limits::kReconnectMin;
    PeerState told = PeerState::none;
    std::string told_reason;
    LogView log;
    std::vector<FollowerAction> out;

    // In place: a variant moved from a temporary makes g++ 12 warn about what is not there.
    template <class Action>
    void emit(Action action) {
        out.emplace_back(std::in_place_type<Action>, std::move(action));
    }
    bool up() const { return phase == Phase::streaming || phase == Phase::syncing; }
    Envelope envelope() const {
        Envelope made;
        made.session = session;
        made.epoch = self.epoch;
        return made;
    }
    void send(Body body, bool on_sync_socket) {
        Message message{envelope(), std::move(body)};
        message.envelope.lsn = log.end.position.lsn;
        emit(act::Send{std::move(message), on_sync_socket});
    }
    PeerState state() const {
        if (phase == Phase::streaming) return PeerState::streaming;
        if (phase == Phase::syncing) return PeerState::syncing;
        return refused ? PeerState::refused : PeerState::connecting;
    }

    void report();
    void connect();
    void fail(std::string why, bool by_refusal);
    void stop_sync();
    void start_sync(std::string why);
    void start_streaming(Lsn first);
    void beat();
    bool has_news() const;
    void pump();
    void on_time();
    void welcome(const Welcome& welcome);
    void check_history(const LogPoint& ours);
    void acknowledged(const Ack& ack, uint64_t of_sync);
    void refuse(const Envelope& envelope, const Refuse& refuse);
    void sync_ask(const SyncAsk& ask);
    void message(const Envelope& envelope, const Body& body, bool on_sync_socket);
    void check_invariants() const;

    void on(const ev::Tick&) {}
    void on(const ev::Received& event) { message(event.envelope, event.body, false); }
    void on(const ev::SyncReceived& event) { message(event.envelope, event.body, true); }
    void on(const ev::LinkFailed& event) {
        if (phase != Phase::idle) fail(event.reason, false);
    }
    void on(const ev::HistoryLookedUp& event);
    void on(const ev::SyncSourceReady& event);
    void on(const ev::SyncSourceFailed& event) {
        if (phase == Phase::syncing) fail("cannot read the database: " + event.reason, false);
    }
    void on(const ev::SyncSourceEnded& event);
    void on(const ev::Sent& event);
};

void Follower::State::report() {
    if (state() == told && reason == told_reason) return;
    told = state();
    told_reason = reason;
    emit(act::Report{told, told_reason});
}

void Follower::State::connect() {
    phase = Phase::connecting;
    renew = false;
    do session = next_random(random);
    while (session == 0);
    started = heard = now;
    sent = credit = syncs = 0;
    sending = false;
    emit(act::Connect{});
    Hello hello;
    hello.cluster = self.cluster;
    hello.group = self.group;
    hello.node = self.node;
    hello.name = self.name;
    hello.page_bytes = self.page_bytes;
    hello.db_pages = self.db_pages;
    hello.log_first = log.first;
    hello.end = log.end.position;
    hello.end_chain = log.end.chain;
    send(hello, false);
}

// Ends the session. The next attempt comes after a pause that doubles, with jitter, so that many
// primaries do not come back in step.
void Follower::State::fail(std::string why, bool by_refusal) {
    stop_sync();
    if (phase != Phase::idle) emit(act::Disconnect{});
    phase = Phase::idle;
    sending = false;
    refused = by_refusal;
    reason = std::move(why);
    auto jitter = next_random(random) % static_cast<uint64_t>(backoff.count() / 2);
    due = now + backoff / 2 + Nanos(static_cast<int64_t>(jitter));
    backoff = std::min<Nanos>(backoff * 2, limits::kReconnectMax);
}

void Follower::State::stop_sync() {
    if (sync == SyncStep::none) return;
    sync = SyncStep::none;
    emit(act::StopSync{});
}

void Follower::State::start_sync(std::string why) {
    stop_sync();
    phase = Phase::syncing;
    sync = SyncStep::opening;
    following = false;
    reason = std::move(why);
    emit(act::StartSync{});
}

void Follower::State::start_streaming(Lsn first) {
    phase = Phase::streaming;
    following = true;
    reason.clear();
    next = first;
    next_offset = 0;
    log_grew = true;
    beat();
}

void Follower::State::beat() {
    Heartbeat heartbeat;
    heartbeat.end = log.end.position;
    heartbeat.committed = log.committed;
    heartbeat.log_bytes = log.bytes;
    last_beat = now;
    committed_told = log.committed;
    send(heartbeat, false);
}

bool Follower::State::has_news() const {
    return log.committed > committed_told && next > log.end.position.lsn;
}

void Follower::State::pump() {
    bool may = phase == Phase::streaming || (phase == Phase::syncing && sync >= SyncStep::copying);
    if (!may || sending) return;
    if (next <= log.end.position.lsn && next < log.first) {
        start_sync("the log no longer has record " + std::to_string(next.value));
        return;
    }
    if (next <= log.end.position.lsn && log_grew && credit - sent >= kBudgetMin) {
        sending = true;
        log_grew = false;
        committed_told = log.committed;
        emit(act::SendRecords{next, next_offset, credit - sent, log.end.position.lsn, log.committed,
                              envelope()});
        return;
    }
    // Nothing carries the news that more may be applied: say it now, readers are waiting.
    if (has_news() && now >= log.news_waits_until) beat();
}

void Follower::State::on_time() {
    if (phase == Phase::idle) {
        if (now >= due) connect();
        return;
    }
    if (renew) {
        backoff = limits::kReconnectMin;
        fail("the epoch changed", false);
        return;
    }
    if (now - heard >= limits::kPeerSilentAfter) {
        fail(up() ? "it went silent" : "it does not answer", false);
        return;
    }
    if (sync == SyncStep::begun && now - sync_begun >= kSyncUnansweredAfter) {
        fail("it does not answer on the sync connection", false);
        return;
    }
    if (up()) {
        Nanos every = now - last_commit >= limits::kIdleAfter ? Nanos(limits::kHeartbeatIdleEvery)
                                                              : Nanos(limits::kHeartbeatEvery);
        if (now - last_beat >= every) beat();
    }
}

void Follower::State::welcome(const Welcome& welcome) {
    if (welcome.version != kWireVersion) {
        return fail("it speaks protocol version " + std::to_string(welcome.version), true);
    }
    if (!welcome.cluster.is_zero() && welcome.cluster != self.cluster) {
        return fail("it belongs to another cluster", true);
    }
    if (!welcome.group.is_zero() && welcome.group != self.group) {
        return fail("it holds another database", true);
    }
    node = welcome.node;
    credit = welcome.credit;
    received = welcome.end.lsn;
    durable = welcome.durable;
    applied = welcome.applied;
    refused = false;
    if (welcome.state == ReplicaState::empty) return start_sync("it is empty");
    if (welcome.state == ReplicaState::needs_sync) return start_sync("it asked for a sync");
    welcome_end = {welcome.end, welcome.end_chain};
    Lsn lsn = welcome.end.lsn;
    if (lsn > log.end.position.lsn) {
        return start_sync("its history has diverged: it is ahead, at " + to_string(welcome.end));
    }
    if (lsn < log.base.position.lsn) {
        return start_sync("the log no longer has record " + std::to_string(lsn.value + 1));
    }
    if (lsn == log.end.position.lsn) return check_history(log.end);
    if (lsn == log.base.position.lsn) return check_history(log.base);
    phase = Phase::checking;
    emit(act::LookUp{lsn});
}

void Follower::State::check_history(const LogPoint& ours) {
    if (ours.position.lsn != welcome_end.position.lsn || ours.chain != welcome_end.chain) {
        return start_sync("its history has diverged at " + to_string(welcome_end.position));
    }
    start_streaming(welcome_end.position.lsn.next());
    emit(act::Acknowledged{received, durable, applied});
}

void Follower::State::on(const ev::HistoryLookedUp& event) {
    if (phase != Phase::checking || event.lsn != welcome_end.position.lsn) return;
    if (!event.point) {
        return start_sync("the log no longer has record " + std::to_string(event.lsn.value));
    }
    check_history(*event.point);
}

// `of_sync`: the last one for which the replica had begun its log anew. What it said of its log
// before the newest sync may have been thrown away since: of that only the credit counts.
void Follower::State::acknowledged(const Ack& ack, uint64_t of_sync) {
    if (!up()) return;
    if (ack.credit > credit) {
        credit = ack.credit;
        log_grew = true;
    }
    if (of_sync != syncs) return;
    // A session that works, not merely one that was welcomed, ends the back-off: a full disk
    // welcomes and then refuses.
    if (ack.received > received || now - started >= limits::kReconnectMax) {
        backoff = limits::kReconnectMin;
    }
    // While it follows, it only goes forward: an older one that comes again takes nothing back.
    const bool follows = phase == Phase::streaming;
    const auto later = [&](Lsn said, Lsn known) { return follows ? std::max(said, known) : said; };
    const Lsn was[] = {received, durable, applied};
    received = later(ack.received, received);
    durable = later(ack.durable, durable);
    applied = later(ack.applied, applied);
    bool changed = received != was[0] || durable != was[1] || applied != was[2];
    if (phase == Phase::streaming && std::max(received, applied) > log.end.position.lsn) {
        return fail("it acknowledged what was never sent", false);
    }
    if (sync == SyncStep::ending && applied >= sync_end) {
        stop_sync();
        phase = Phase::streaming;
        following = true;
        reason.clear();
        changed = true;
    }
    if (changed && phase == Phase::streaming) {
        emit(act::Acknowledged{received, durable, applied});
    }
}

void Follower::State::refuse(const Envelope& envelope, const Refuse& refuse) {
    switch (refuse.code) {
        case RefuseCode::unknown_session:
        case RefuseCode::shutting_down:
            return fail(refuse.text, false);
        case RefuseCode::stale_epoch:
            return fail("a newer primary exists, of epoch " + std::to_string(envelope.epoch.value) +
                            "; ours is " + std::to_string(self.epoch.value) + ": " + refuse.text,
                        true);
        default:
            return fail(std::string(to_string(refuse.code)) + ": " + refuse.text, true);
    }
}

void Follower::State::sync_ask(const SyncAsk& ask) {
    if (sync == SyncStep::begun) {
        // Its log begins at the base now, so records may follow.
        sync = SyncStep::copying;
        next = sync_base.next();
        next_offset = 0;
        log_grew = true;
    }
    if (sync != SyncStep::copying) return;
    if (ask.count != 0) {
        emit(act::AnswerSyncAsk{ask, envelope()});
        return;
    }
    sync = SyncStep::settling;
    emit(act::SettleSync{});
}

void Follower::State::message(const Envelope& envelope, const Body& body, bool on_sync_socket) {
    if (phase == Phase::idle || envelope.session != session) return;  // of an older session
    heard = now;
    if (auto* refused_by = std::get_if<Refuse>(&body)) return refuse(envelope, *refused_by);
    if (envelope.epoch > self.epoch) {
        return fail("it follows a newer primary, of epoch " + std::to_string(envelope.epoch.value),
                    true);
    }
    if (auto* greeting = std::get_if<Welcome>(&body)) {
        if (phase == Phase::connecting) welcome(*greeting);
    } else if (auto* ack = std::get_if<Ack>(&body)) {
        acknowledged(*ack, envelope.offset);
    } else if (auto* need = std::get_if<NeedSync>(&body)) {
        if (up()) start_sync(need->reason);
    } else if (auto* ask = std::get_if<SyncAsk>(&body)) {
        if (on_sync_socket) sync_ask(*ask);
    }
}

void Follower::State::on(const ev::SyncSourceReady& event) {
    if (sync != SyncStep::opening) return;
    sync = SyncStep::begun;
    sync_begun = now;
    sync_base = event.begin.base.lsn;
    // What it holds beyond is about to be thrown away.
    received = std::min(received, sync_base);
    durable = std::min(durable, sync_base);
    Message begin{envelope(), event.begin};
    begin.envelope.lsn = log.end.position.lsn;
    begin.envelope.offset = ++syncs;
    emit(act::Send{std::move(begin), true});
    beat();
}

void Follower::State::on(const ev::SyncSourceEnded& event) {
    if (sync != SyncStep::settling) return;
    sync = SyncStep::ending;
    sync_end = event.end.lsn;
    send(SyncEnd{event.end, self.db_pages}, true);
}

void Follower::State::on(const ev::Sent& event) {
    if (!sending) return;  // of a session that ended meanwhile
    sending = false;
    sent += event.body_bytes;
    bool moved = event.next != next || event.next_offset != next_offset;
    next = event.next;
    next_offset = event.next_offset;
    // What did not move waits for the log or for credit.
    if (moved) log_grew = true;
}

void Follower::State::check_invariants() const {
    assert(sent <= credit || phase == Phase::idle);
    assert((sync != SyncStep::none) == (phase == Phase::syncing));
    assert(!sending || up());
    assert(next_offset == 0 || next <= log.end.position.lsn || !up());
    assert(session != 0 || phase == Phase::idle);
}

Follower::Follower(FollowerIdentity self, uint64_t seed) : state_(new State) {
    state_->self = std::move(self);
    state_->random = seed;
}

void Follower::StateDeleter::operator()(State* state) const { delete state; }

std::vector<FollowerAction> Follower::step(const FollowerEvent& event, const LogView& log,
                                           Instant now) {
    State& s = *state_;
    s.now = now;
    s.log = log;
    if (log.end.position.lsn != s.end_seen) {
        s.end_seen = log.end.position.lsn;
        s.last_commit = now;
        s.log_grew = true;
    }
    s.lag_history.note(log.end.position.lsn, log.bytes, now);
    std::visit([&](const auto& e) { s.on(e); }, event);
    s.on_time();
    s.pump();
    s.report();
    s.check_invariants();
    return std::exchange(s.out, {});
}

FollowerView Follower::view() const {
    const State& s = *state_;
    FollowerView view;
    view.state = s.state();
    view.reason = s.reason;
    view.node = s.node;
    view.received = s.received;
    view.durable = s.durable;
    view.applied = s.applied;
    if (s.following) view.needs = s.received.next();
    if (s.sync >= SyncStep::begun) view.needs = std::max(s.received, s.sync_base).next();
    view.unsafe_bytes = s.lag_history.lag_bytes(s.durable);
    view.unsafe = s.lag_history.lag(s.durable, s.now);
    view.lag_bytes = s.lag_history.lag_bytes(s.applied);
    view.lag = s.lag_history.lag(s.applied, s.now);
    view.heard = s.heard;
    return view;
}

Instant Follower::deadline() const {
    const State& s = *state_;
    if (s.phase == Phase::idle) return s.due;
    if (s.renew) return s.now;
    Instant silent = s.heard + limits::kPeerSilentAfter;
    if (!s.up()) return silent;
    bool idle = s.now - s.last_commit >= limits::kIdleAfter;
    Nanos every = idle ? Nanos(limits::kHeartbeatIdleEvery) : Nanos(limits::kHeartbeatEvery);
    const Instant beat_at = std::min(silent, s.last_beat + every);
    return s.has_news() ? std::min(beat_at, s.log.news_waits_until) : beat_at;
}

void Follower::set_identity(const FollowerIdentity& self) {
    State& s = *state_;
    if (self.epoch != s.self.epoch && s.phase != Phase::idle) s.renew = true;
    s.self = self;
}

}  // namespace tanist
