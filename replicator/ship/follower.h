// One replica as the primary sees it: connect, hello, stream or sync, silence, reconnect. Pure:
// step(event, now) -> actions; no clock, socket, thread or file.
//
//   idle --due--> connecting --welcome(following, history matches)--> streaming
//                    |      \--welcome(empty | needs_sync | no match)--> syncing --streaming again
//                    |                                                      when applied >= sync
//                    end
//                    \--refuse--> refused --due (backoff)--> connecting
//   any --silence or close--> idle (backoff)
//
// While syncing, records from the sync's base on are streamed as well: the replica needs them to
// make its pages consistent.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/base/peer_state.h"
#include "replicator/log/log.h"
#include "replicator/wire/message.h"

namespace tanist {

// What the primary's log looks like at this moment; part of every event.
struct LogView {
    LogPoint base;  // what precedes `first`
    Lsn first;
    LogPoint end;
    Lsn committed;  // records up to it may be applied; the others are held back by their writer
    uint64_t bytes = 0;  // running total of record bytes appended, for lag
    // News that more may be applied waits for the next record, which carries it; until then.
    Instant news_waits_until{0};
};

namespace follower_event {
struct Tick {};  // time passed, or the log grew
struct Received {
    Envelope envelope;
    Body body;
};
struct SyncReceived {
    Envelope envelope;
    Body body;
};  // on the sync socket
// Connect or send did not work, on either socket; or a record could not be read. Ends the session.
struct LinkFailed {
    std::string reason;
};
// The record's chain, looked up after Action LookUp.
struct HistoryLookedUp {
    Lsn lsn;
    std::optional<LogPoint> point;
};
struct SyncSourceReady {
    SyncBegin begin;
};  // after StartSync
struct SyncSourceFailed {
    std::string reason;
};
// After SettleSync: a settled record's position, which covers every commit a page may show.
struct SyncSourceEnded {
    Position end;
};
// SendRecords is done, for as much as there was: what left, and where to go on.
struct Sent {
    uint64_t body_bytes;  // of all chunks, prefixes included
    Lsn next;
    uint64_t next_offset;
};
}  // namespace follower_event
using FollowerEvent =
    std::variant<follower_event::Tick, follower_event::Received, follower_event::SyncReceived,
                 follower_event::LinkFailed, follower_event::HistoryLookedUp,
                 follower_event::SyncSourceReady, follower_event::SyncSourceFailed,
                 follower_event::SyncSourceEnded, follower_event::Sent>;

namespace follower_action {
struct Connect {};     // a fresh socket
struct Disconnect {};  // close both sockets; drop what is queued
// The link may hold it until the connection is there (Link::send); silence ends the wait. The
// adapter sets sent_unix_ns of a Heartbeat: no clock here.
struct Send {
    Message message;
    bool on_sync_socket = false;
};
struct LookUp {
    Lsn lsn;
};  // what is the chain at this LSN?
// Send chunks of records from (lsn, offset) while they exist, a whole chunk fits the budget, and
// the link takes them; answered with one Sent. ship/record_sender.h does it.
struct SendRecords {
    Lsn lsn;
    uint64_t offset;
    uint64_t budget_bytes;
    Lsn last;           // log.end of this step: no record beyond it
    Lsn committed;      // goes into every chunk
    Envelope envelope;  // session, epoch; lsn and offset are set per chunk
};
// Open the sync socket and a page source; answered by SyncSourceReady with base = the last settled
// record at that moment and the database's size at a later one, or SyncSourceFailed.
struct StartSync {};
// Read and compare pages, send sync_pages with this envelope's session and epoch on the sync
// socket.
struct AnswerSyncAsk {
    SyncAsk ask;
    Envelope envelope;
};
// Every range was served. Pages may show commits that capture has not logged yet: let it look at
// the WAL once more, then answer SyncSourceEnded.
struct SettleSync {};
struct StopSync {};  // close the sync socket and the page source
// Positions to count in ack rules: only while the histories are known to be the same.
struct Acknowledged {
    Lsn received, durable, applied;
};
struct Report {
    PeerState state;
    std::string reason;
};
}  // namespace follower_action
using FollowerAction =
    std::variant<follower_action::Connect, follower_action::Disconnect, follower_action::Send,
                 follower_action::LookUp, follower_action::SendRecords, follower_action::StartSync,
                 follower_action::AnswerSyncAsk, follower_action::SettleSync,
                 follower_action::StopSync, follower_action::Acknowledged, follower_action::Report>;

struct FollowerIdentity {  // of the primary, for HELLO
    ClusterId cluster;
    GroupId group;
    NodeKey node;
    std::string name;
    Epoch epoch;
    uint32_t page_bytes = 0;
    uint32_t db_pages = 0;
};

struct FollowerView {  // for status, ack rules and retention
    PeerState state = PeerState::connecting;
    std::string reason;
    NodeKey node;
    Lsn received, durable, applied;  // comparable with our log only while streaming
    Lsn needs;  // oldest record it still needs; retention keeps it. Zero: unknown
    uint64_t lag_bytes = 0;
    uint64_t unsafe_bytes = 0;  // of records that it has not durably, and the age of the oldest
    Nanos unsafe{0};            //
    Nanos lag{0};               // age of the oldest commit it has not applied, as far as is known
    Instant heard{0};
};

class Follower {
  public:
    // `seed` drives back-off jitter and session ids.
    Follower(FollowerIdentity self, uint64_t seed);
    std::vector<FollowerAction> step(const FollowerEvent& event, const LogView& log, Instant now);
    FollowerView view() const;
    // When step(Tick) must be called at the latest.
    Instant deadline() const;
    void set_identity(const FollowerIdentity& self);  // page size, size or epoch changed

  private:
    // implementation's own
    struct State;
    struct StateDeleter {
        void operator()(State*) const;
    };
    std::unique_ptr<State, StateDeleter> state_;
};

}  // namespace tanist
