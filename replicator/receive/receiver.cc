#include "replicator/receive/receiver.h"

#include <cassert>

#include "replicator/receive/receiver_state.h"

namespace tanist {
namespace {

namespace ev = receiver_event;
namespace act = receiver_action;
using namespace std::chrono_literals;

constexpr uint64_t kAckEveryBytes = 1u << 20;
constexpr Nanos kAckCoalesce = 1ms;
// A sync socket that was lost alone is noticed by nothing else.
constexpr Nanos kSyncStalledAfter = 10s;

}  // namespace

// -- the session's life

void Receiver::State::end_session(const std::string& why) {
    if (!session) return;
    // What is being installed needs no primary any more. A sync's log is dropped before what is
    // abandoned, so that the answer tells the end of the other one.
    if (sync < SyncStep::installing) abort_sync(why);
    abandon();
    session.reset();
    ack_wanted = at_gap = false;
    emit(act::Report{"the session ended: " + why});
}

void Receiver::State::break_session(RefuseCode code, const std::string& why) {
    send(session->link, session->id, epoch_seen, Refuse{code, why});
    end_session(why);
}

// Refuses, or returns true.
bool Receiver::State::acceptable(const ev::Received& event, const Hello& hello) {
    auto no = [&](RefuseCode code, std::string text) {
        // It will try again and again; people are told once.
        if (text != told_refusal) emit(act::Report{"refused " + hello.name + ": " + text});
        told_refusal = text;
        if (hello.node != primary) refusal = {hello.name + " was refused: " + text, now};
        refuse(event.from, event.envelope, code, std::move(text));
        return false;
    };
    if (stopping) return no(RefuseCode::shutting_down, "this replica is shutting down");
    if (hello.version_min > kWireVersion || hello.version_max < kWireVersion) {
        return no(RefuseCode::version, "this replica speaks protocol version " +
                                           std::to_string(kWireVersion) + ", the primary " +
                                           std::to_string(hello.version_min) + " to " +
                                           std::to_string(hello.version_max));
    }
    if (hello.cluster.is_zero() || hello.group.is_zero() || event.envelope.session == 0) {
        return no(RefuseCode::protocol, "a HELLO without cluster, group or session");
    }
    if (!self.cluster.is_zero() && hello.cluster != self.cluster) {
        return no(RefuseCode::other_cluster, "this replica belongs to another cluster");
    }
    if (!self.group.is_zero() && hello.group != self.group) {
        return no(RefuseCode::other_group,
                  "this replica holds another database; give that one its own, or remove this one");
    }
    if (event.envelope.epoch < epoch_seen) {
        return no(RefuseCode::stale_epoch,
                  "a primary of epoch " + std::to_string(epoch_seen.value) + " has been here");
    }
    if (event.envelope.epoch == epoch_seen && !primary.is_zero() && hello.node != primary) {
        return no(RefuseCode::superseded, primary_name + " is the primary of epoch " +
                                              std::to_string(epoch_seen.value) + " here");
    }
    if (session && session->id == event.envelope.session) {
        // Its connection was renewed behind its back: what was under way on the old one is lost.
        return no(RefuseCode::unknown_session, "the connection was renewed");
    }
    return true;
}

void Receiver::State::hello(const ev::Received& event, const Hello& hello) {
    if (!acceptable(event, hello)) return;
    if (session) break_session(RefuseCode::superseded, "a newer session took over");
    session.emplace();
    session->id = event.envelope.session;
    session->link = event.from;
    session->node = hello.node;
    session->name = hello.name;
    session->epoch = event.envelope.epoch;
    heard = now;
    epoch_seen = std::max(epoch_seen, session->epoch);
    primary = hello.node;
    primary_name = hello.name;
    primary_end = hello.end;
    if (self.group.is_zero() || self.cluster.is_zero()) {
        self.cluster = hello.cluster;
        self.group = hello.group;
        emit(act::Adopt{hello.cluster, hello.group, session->epoch});
    } else if (session->epoch > epoch) {
        emit(act::PersistEpoch{session->epoch});
    } else {
        proceed();
    }
}

// Adoption and epoch are durable, and no sync is half installed: ask the log where it ends.
void Receiver::State::proceed() {
    if (!session || session->opening != Opening::making_durable || epoch < session->epoch) return;
    if (sync != SyncStep::none) return;
    session->opening = Opening::settling;
    ++abandons;
    emit(act::AppendAbandon{});
}

void Receiver::State::on(const ev::Adopted&) {
    epoch = std::max(epoch, epoch_seen);
    proceed();
}

void Receiver::State::on(const ev::EpochDurable& event) {
    epoch = std::max(epoch, event.epoch);
    proceed();
}

void Receiver::State::on(const ev::AppendAbandoned& event) {
    if (abandons > 0 && --abandons > 0) return;
    unanswered.clear();
    log_failed = false;
    received = accepted = event.end;
    // Nothing is on its way to the log: what was dropped there no longer fills the window.
    if (open()) session->credit.taken_to(session->credit.queued());
    if (session && session->opening == Opening::settling) welcome();
}

void Receiver::State::welcome() {
    session->opening = Opening::open;
    Welcome welcome;
    welcome.cluster = self.cluster;
    welcome.group = self.group;
    welcome.node = self.node;
    welcome.name = self.name;
    welcome.state = state;
    welcome.end = received.position;
    welcome.end_chain = received.chain;
    welcome.durable = durable;
    welcome.applied = applied;
    welcome.credit = session->credit.granted();
    committed = Lsn(0);
    // Another primary's records may come in the places of those that are not here yet.
    tell_settled(committed_here);
    send(session->link, session->id, epoch, welcome);
    emit(act::Report{"connected to the primary " + session->name + ", epoch " +
                     std::to_string(session->epoch.value)});
}

// -- records

void Receiver::State::ack() {
    ack_wanted = false;
    last_ack = now;
    session->credit_told = session->credit.consumed();
    Ack ack;
    ack.received = received.position.lsn;
    ack.durable = std::min(durable, ack.received);
    if (sync_has_log()) ack.durable = std::min(ack.durable, sync_begin.base.lsn);
    // The database and the sync's log do not belong together until the sync is installed.
    ack.applied = sync == SyncStep::none ? applied : Lsn(0);
    ack.credit = session->credit.granted();
    ack.echo_unix_ns = session->echo_unix_ns;
    send(session->link, session->id, epoch, ack);
}

void Receiver::State::data(const Envelope& envelope, const Data& data) {
    const uint64_t body_bytes = kDataPrefixBytes + data.bytes.size();
    committed = std::max(committed, data.committed);
    session->receipt_wanted |= (envelope.flags & kDataReceiptWanted) != 0;
    bool expected = state == ReplicaState::following || sync_has_log();
    bool repeat = !assembly.open() && envelope.lsn <= accepted.position.lsn;
    if (!expected || at_gap || repeat || log_failed) return session->credit.discarded(body_bytes);
    Status taken = take_records(envelope, data.bytes);
    if (taken.ok() && !at_gap && ((envelope.flags & kDataLast) != 0) == assembly.open()) {
        assembly.drop();
        taken = Error{Errc::corrupt, "the records of a message do not add up to its length"};
    }
    if (!taken.ok()) {
        const bool other = taken.error().code == Errc::refused;
        const RefuseCode code = other ? RefuseCode::diverged : RefuseCode::protocol;
        return break_session(code, taken.error().message);
    }
    session->credit.accepted(body_bytes);
}

Status Receiver::State::take_records(const Envelope& envelope, ByteView bytes) {
    RecordAssembly::From from{envelope.lsn, envelope.offset, envelope.epoch};
    while (!bytes.empty()) {
        auto step = assembly.take(from, bytes, accepted, self.group);
        if (!step.ok()) return std::move(step).error();
        bytes = bytes.subspan(step->used);
        if (step->begins && assembly.header().kind == RecordKind::rebase) {
            meet_gap(assembly.header().lsn);
            break;
        }
        session->credit.part(step->part.size());
        if (step->begins) emit(act::AppendBegin{assembly.header()});
        if (!step->part.empty()) emit(act::AppendPart{step->part});
        if (!step->finishes) break;
        accepted = {assembly.header().position(), assembly.header().chain};
        unanswered.push_back({accepted, session->credit.queued()});
        emit(act::AppendFinish{assembly.header()});
        from = {from.lsn.next(), 0, envelope.epoch};
    }
    return ok_status();
}

// Told before it is durable here: whoever applies then need not wait for us when it is. In a sync
// the primary speaks of records that are not in the database's log.
void Receiver::State::tell_committed() {
    if (state != ReplicaState::following) return;
    const Lsn here = std::min(durable, received.position.lsn);
    committed_here = std::max(committed_here, appliable(here, committed));
    tell_settled(std::max(committed_told, committed));
}

void Receiver::State::on(const ev::Appended& event) {
    if (unanswered.empty() || unanswered.front().point.position.lsn != event.lsn) return;
    Unanswered done = unanswered.front();
    unanswered.pop_front();
    received = done.point;
    // While a session opens, what is confirmed belongs to an earlier one's window.
    if (open()) session->credit.taken_to(done.queued);
    ack_wanted = true;
    if (unanswered.empty() && open() && std::exchange(session->receipt_wanted, false)) ack();
    complete_sync();
}

void Receiver::State::on(const ev::AppendFailed& event) {
    if (log_failed || abandons > 0) return;  // the first one has ended the session
    log_failed = true;
    assembly.drop();
    const std::string what = event.no_space ? "its disk is full: " : "its log failed: ";
    if (session) break_session(RefuseCode::storage, what + event.reason);
    ++abandons;
    emit(act::AppendAbandon{});
}

void Receiver::State::on(const ev::SendFailed& event) {
    if (!session) return;
    if (event.to == session->link) return end_session("its connection is gone");
    if (event.to == session->sync_link) {
        break_session(RefuseCode::unknown_session, "the sync connection is gone");
    }
}

void Receiver::State::on(const ev::Durable& event) {
    if (!event.of_sync) durable = std::max(durable, event.lsn);
    if (event.of_sync && sync_has_log()) sync_durable = std::max(sync_durable, event.lsn);
    if (open()) ack();
}

void Receiver::State::on(const ev::Applied& event) {
    applied = event.lsn;
    if (sync != SyncStep::none) return;
    ack_wanted = true;
    if (open() && applied == received.position.lsn) ack();
}

void Receiver::State::heartbeat(const Heartbeat& beat) {
    session->echo_unix_ns = beat.sent_unix_ns;
    primary_end = beat.end;
    committed = std::max(committed, beat.committed);
    emit(act::PrimaryHeard{beat.end, beat.sent_unix_ns, beat.log_bytes});
    ack();
}

// -- all messages

void Receiver::State::on(const ev::Received& event) {
    const Envelope& envelope = event.envelope;
    if (auto* greeting = std::get_if<Hello>(&event.body)) return hello(event, *greeting);
    if (std::holds_alternative<Refuse>(event.body)) {
        // Never answered, or two nodes could refuse each other for ever.
        if (session && session->id == envelope.session) end_session("the primary ended it");
        return;
    }
    if (!session || session->id != envelope.session) {
        return refuse(event.from, envelope, RefuseCode::unknown_session, "no such session here");
    }
    if (envelope.epoch != session->epoch) {
        return break_session(RefuseCode::protocol, "the epoch changed within a session");
    }
    if (!open()) return;
    bool on_main = event.from == session->link;
    auto* chunk = std::get_if<Data>(&event.body);
    auto* beat = std::get_if<Heartbeat>(&event.body);
    if ((chunk != nullptr || beat != nullptr) && !on_main) {
        return break_session(RefuseCode::unknown_session, "the connection was renewed");
    }
    heard = now;
    if (chunk != nullptr) {
        data(envelope, *chunk);
    } else if (beat != nullptr) {
        heartbeat(*beat);
    } else {
        sync_message(event);
    }
}

void Receiver::State::on_time() {
    if (!session) return;
    if (now - heard >= limits::kPeerSilentAfter) {
        // Told all the same: it may only have been stopped for a while.
        return break_session(RefuseCode::unknown_session, "the primary went silent");
    }
    if (!open()) return;
    bool waiting = sync == SyncStep::ending || !asks.empty();
    if (waiting && now - sync_heard >= kSyncStalledAfter) {
        return break_session(RefuseCode::unknown_session, "the sync connection went silent");
    }
    bool credit_due = session->credit.consumed() - session->credit_told >= kAckEveryBytes;
    if (credit_due || (ack_wanted && now - last_ack >= kAckCoalesce)) ack();
}

void Receiver::State::check_invariants() const {
    assert(accepted.position.lsn >= received.position.lsn);
    assert(epoch_seen >= epoch);
    assert(!session || session->epoch <= epoch_seen);
    assert(!open() || session->epoch <= epoch);
    assert(sync == SyncStep::none || session || sync >= SyncStep::installing);
    assert(!sync_has_log() || durable <= held.position.lsn);
    assert(sync == SyncStep::none || state != ReplicaState::following);
    assert(committed_here <= committed_told);
}

Receiver::Receiver(ReceiverStart start) : state_(new State) {
    State& s = *state_;
    s.epoch = s.epoch_seen = start.epoch;
    s.state = start.state;
    s.whole = start.state == ReplicaState::following;
    s.reason = start.sync_reason;
    s.accepted = s.received = start.log_end;
    s.durable = start.durable;
    s.applied = start.applied;
    s.self = std::move(start);
}

void Receiver::StateDeleter::operator()(State* state) const { delete state; }

std::vector<ReceiverAction> Receiver::step(const ReceiverEvent& event, Instant now) {
    State& s = *state_;
    s.now = now;
    std::visit([&](const auto& e) { s.on(e); }, event);
    s.on_time();
    s.tell_committed();
    s.check_invariants();
    return std::exchange(s.out, {});
}

ReceiverView Receiver::view() const {
    const State& s = *state_;
    ReceiverView view;
    view.state = s.state;
    view.reason = s.reason;
    view.connected = s.open();
    view.link = s.session ? s.session->link : 0;
    view.session = s.session ? s.session->id : 0;
    view.primary = s.primary;
    view.primary_name = s.primary_name;
    view.epoch = s.epoch;
    view.whole = s.whole;
    view.end = s.end();
    view.durable = s.durable;
    view.applied = s.applied;
    view.primary_end = s.primary_end;
    view.heard = s.heard;
    if (s.now - s.refusal.at < kRefusalShown) view.refusal = s.refusal.text;
    return view;
}

Instant Receiver::deadline() const {
    const State& s = *state_;
    if (!s.session) return {INT64_MAX};
    Instant due = s.heard + limits::kPeerSilentAfter;
    if (s.open() && s.ack_wanted) due = std::min(due, s.last_ack + kAckCoalesce);
    if (s.sync == SyncStep::ending || !s.asks.empty()) {
        due = std::min(due, s.sync_heard + kSyncStalledAfter);
    }
    return due;
}

}  // namespace tanist
