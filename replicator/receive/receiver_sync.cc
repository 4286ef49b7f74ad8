// Gaps in the primary's history, and the delta syncs that lead past them.
//
// While a sync runs, its records go to a log of their own. The log that belongs to the database
// stays as it is, so that a replica whose primary is lost meanwhile is what it was before. Nothing
// that only the sync's log holds is acknowledged as durable: without the sync's pages it leads to
// no database. That ends with SyncLogKept, when database and log are the sync's.
#include "replicator/receive/receiver_state.h"

namespace tanist {
namespace {

namespace ev = receiver_event;
namespace act = receiver_action;

}  // namespace

// A REBASE comes next: no log leads past it. It is not kept, so that the log ends at a state that
// the database can be brought to. Everything before it is settled, or it would not stand there.
void Receiver::State::meet_gap(Lsn lsn) {
    at_gap = true;
    assembly.drop();
    if (sync >= SyncStep::installing) return;  // behind the sync's end
    const std::string what = "record " + std::to_string(lsn.value) +
                             ": the primary's database changed in a way that its log did not see";
    if (sync == SyncStep::none) tell_settled(accepted.position.lsn);
    abort_sync(what);
    ask_for_sync(what);
}

void Receiver::State::ask_for_sync(const std::string& why) {
    state = ReplicaState::needs_sync;
    reason = why;
    abandon();
    if (open()) send(session->link, session->id, epoch, NeedSync{why});
}

void Receiver::State::on(const ev::NeedsSync& event) {
    whole = false;
    if (sync == SyncStep::none) ask_for_sync(event.reason);
}

void Receiver::State::begin_sync(const ev::Received& event, const SyncBegin& begin) {
    if (!session->begin_sync(event.from, event.envelope.offset)) return;
    if (sync >= SyncStep::installing) {
        return break_session(RefuseCode::unknown_session, "a sync is being installed");
    }
    abort_sync("a new sync begins");
    abandon();
    at_gap = false;
    sync = SyncStep::opening;
    sync_begin = begin;
    sync_heard = now;
    last_ask = 0;
    asked_all = false;
    if (state == ReplicaState::following) state = ReplicaState::needs_sync;
    emit(act::BeginSyncLog{{begin.base, begin.base_chain}, ++sync_logs});
}

void Receiver::State::on(const ev::SyncLogBegun& event) {
    // Of a sync that was broken off.
    if (sync != SyncStep::opening || event.number != sync_logs || !open()) return;
    unanswered.clear();
    held = received;
    received = accepted = {sync_begin.base, sync_begin.base_chain};
    sync_durable = sync_begin.base.lsn;
    session->credit.taken_to(session->credit.queued());
    session->sync_reset = session->sync_begun;
    sync = SyncStep::copying;
    sync_heard = now;
    emit(act::SyncBegan{sync_begin});
    ack();
}

// The log is again the one that belongs to the database.
void Receiver::State::drop_sync() {
    if (sync > SyncStep::opening) {
        received = accepted = held;
        unanswered.clear();
    }
    sync = SyncStep::none;
    asks.clear();
    assembly.drop();
    if (whole) state = ReplicaState::following;
    emit(act::DropSyncLog{});
}

void Receiver::State::abort_sync(const std::string& why) {
    if (sync == SyncStep::none) return;
    drop_sync();
    emit(act::SyncAborted{why});
}

void Receiver::State::on(const ev::SyncWantsRange& event) {
    if (sync != SyncStep::copying || !open()) return;
    last_ask = std::max(last_ask, event.ask.ask);
    asks.insert(event.ask.ask);
    sync_heard = now;
    send(session->sync_link, session->id, epoch, event.ask);
}

void Receiver::State::on(const ev::SyncAskedAll&) {
    asked_all = true;
    ask_for_end();
}

void Receiver::State::ask_for_end() {
    if (sync != SyncStep::copying || !asked_all || !asks.empty() || !open()) return;
    sync = SyncStep::ending;
    sync_heard = now;
    send(session->sync_link, session->id, epoch, SyncAsk{last_ask + 1, 0, 0, {}});
}

void Receiver::State::sync_message(const ev::Received& event) {
    if (auto* begin = std::get_if<SyncBegin>(&event.body)) return begin_sync(event, *begin);
    if (sync == SyncStep::none) return;  // of a sync that was broken off
    if (event.from != session->sync_link) {
        return break_session(RefuseCode::unknown_session, "the sync connection was renewed");
    }
    sync_heard = now;
    if (auto* pages = std::get_if<SyncPages>(&event.body)) {
        if (!asks.contains(pages->ask)) return;
        if (pages->last) asks.erase(pages->ask);
        emit(act::SyncGotPages{*pages});
        ask_for_end();
    } else if (auto* end = std::get_if<SyncEnd>(&event.body)) {
        if (sync != SyncStep::ending) return;
        sync = SyncStep::filling;
        sync_end = *end;
        complete_sync();
    }
}

void Receiver::State::complete_sync() {
    if (sync != SyncStep::filling || received.position.lsn < sync_end.end.lsn) return;
    sync = SyncStep::installing;
    emit(act::SyncComplete{sync_end});
}

void Receiver::State::on(const ev::SyncInstalled& event) {
    if (sync != SyncStep::installing) return;
    sync = SyncStep::keeping;
    installed = event.at;
    emit(act::KeepSyncLog{});
}

void Receiver::State::on(const ev::SyncLogKept&) {
    if (sync != SyncStep::keeping) return;
    sync = SyncStep::none;
    asks.clear();
    state = ReplicaState::following;
    whole = true;
    reason.clear();
    applied = installed.position.lsn;
    durable = sync_durable;
    tell_settled(committed_here = Lsn(0));  // what was told was said of the log before
    emit(act::Report{"the sync is installed, at " + to_string(installed.position)});
    if (open()) ack();
    if (at_gap) meet_gap(accepted.position.lsn.next());
    proceed();
}

void Receiver::State::on(const ev::SyncFailed& event) {
    if (sync == SyncStep::none) return;
    drop_sync();
    reason = event.reason;
    if (session) break_session(RefuseCode::storage, "the sync failed here: " + event.reason);
}

}  // namespace tanist
