// What a Receiver holds; private to receiver.cc, which has sessions and records, and
// receiver_sync.cc, which has gaps and delta syncs.
#pragma once

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "replicator/receive/assembly.h"
#include "replicator/receive/credit.h"
#include "replicator/receive/session.h"

namespace tanist {

struct Receiver::State {
    ReceiverStart self;       // cluster, group, node, name
    Epoch epoch, epoch_seen;  // durable; the highest, >= epoch
    ReplicaState state = ReplicaState::empty;
    std::string reason, primary_name, told_refusal;
    std::optional<Session> session;
    NodeKey primary;  // of epoch `epoch`, once heard
    Position primary_end;
    // accepted >= received: what went to the log, and what the log has confirmed. The log is the
    // sync's from SyncLogBegun on; `held` is then the end of the one that belongs to the database.
    LogPoint accepted, received, held;
    std::deque<Unanswered> unanswered;
    RecordAssembly assembly;
    bool log_failed = false;  // until the next AppendAbandoned
    int abandons = 0;         // AppendAbandon without its answer
    Lsn durable, applied;     // of the log that belongs to the database
    bool whole = false;       // the database can be brought to that log's end
    bool at_gap = false;      // a REBASE comes next in this session
    Lsn committed, committed_told, committed_here;
    SyncStep sync = SyncStep::none;
    SyncBegin sync_begin;
    SyncEnd sync_end;
    Lsn sync_durable;        // of the sync's log
    uint64_t sync_logs = 0;  // begun; the number of the newest
    LogPoint installed;
    std::set<uint32_t> asks;  // sent, not wholly answered
    uint32_t last_ask = 0;
    Instant sync_heard, now, heard, last_ack, refused_at;
    bool asked_all = false, ack_wanted = false, stopping = false;
    std::vector<ReceiverAction> out;

    // In place: a variant moved from a temporary makes g++ 12 warn about what is not there.
    template <class Action>
    void emit(Action action) {
        out.emplace_back(std::in_place_type<Action>, std::move(action));
    }
    bool open() const { return session && session->opening == Opening::open; }
    bool sync_has_log() const { return sync > SyncStep::opening; }
    const LogPoint& end() const { return sync_has_log() ? held : received; }
    void send(LinkId to, uint64_t session_id, Epoch as, Body body) {
        Message message;
        message.envelope.session = session_id;
        message.envelope.epoch = as;
        if (std::holds_alternative<Ack>(body)) message.envelope.offset = session->sync_reset;
        message.envelope.lsn = received.position.lsn;
        message.body = std::move(body);
        emit(receiver_action::Send{to, std::move(message)});
    }
    Refusal refusal;
    void refuse(LinkId to, const Envelope& about, RefuseCode code, std::string text) {
        send(to, about.session, epoch_seen, Refuse{code, std::move(text)});
    }

    // Drops the record that is under way, if one is.
    void abandon() {
        if (!assembly.open()) return;
        assembly.drop();
        ++abandons;
        emit(receiver_action::AppendAbandon{});
    }
    void end_session(const std::string& why);
    void break_session(RefuseCode code, const std::string& why);
    void meet_gap(Lsn lsn);
    void ask_for_sync(const std::string& why);
    void drop_sync();
    void abort_sync(const std::string& why);
    bool acceptable(const receiver_event::Received& event, const Hello& hello);
    void hello(const receiver_event::Received& event, const Hello& hello);
    void proceed();
    void welcome();
    void ack();
    void data(const Envelope& envelope, const Data& data);
    Status take_records(const Envelope& envelope, ByteView bytes);
    void tell_committed();
    void tell_settled(Lsn to) {
        if (std::exchange(committed_told, to) != to) emit(receiver_action::CommittedUpTo{to});
    }
    void heartbeat(const Heartbeat& beat);
    void sync_message(const receiver_event::Received& event);
    void begin_sync(const receiver_event::Received& event, const SyncBegin& begin);
    void ask_for_end();
    void complete_sync();
    void on_time();
    void check_invariants() const;

    void on(const receiver_event::Tick&) {}
    void on(const receiver_event::Received& event);
    void on(const receiver_event::NotAdmitted& event) {
        if (!session || !session->has(event.from, event.envelope)) return;
        break_session(RefuseCode::unknown_session, "its epoch is not let in here just now");
    }
    void on(const receiver_event::Written& event) {
        if (open()) session->credit.taken(event.bytes);
    }
    void on(const receiver_event::Appended& event);
    void on(const receiver_event::AppendFailed& event);
    void on(const receiver_event::AppendAbandoned& event);
    void on(const receiver_event::SendFailed& event);
    void on(const receiver_event::Durable& event);
    void on(const receiver_event::Applied& event);
    void on(const receiver_event::NeedsSync& event);
    void on(const receiver_event::SyncLogBegun& event);
    void on(const receiver_event::SyncLogKept&);
    void on(const receiver_event::Adopted&);
    void on(const receiver_event::EpochDurable& event);
    void on(const receiver_event::SyncWantsRange& event);
    void on(const receiver_event::SyncAskedAll&);
    void on(const receiver_event::SyncInstalled& event);
    void on(const receiver_event::SyncFailed& event);
    void on(const receiver_event::ShuttingDown&) {
        stopping = true;
        if (session) break_session(RefuseCode::shutting_down, "this replica is shutting down");
    }
};

}  // namespace tanist
