// The replica's side of a session, pure: who may be our primary, which record comes next, gaps,
// repeats, acknowledgements, credit. step(event, now) -> actions.
//
// Epoch fence: an envelope with an epoch lower than the highest one seen is refused, with that
// one; the highest epoch is durable (in the node file or the log) before it is acted on.
// One session at a time: the newest HELLO of our primary wins, the older one is told superseded.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/log/log.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {

struct ReceiverStart {
    ClusterId cluster;  // zero: adopt the first primary that asks
    GroupId group;
    NodeKey node;
    std::string name;
    Epoch epoch;  // highest seen, durable
    ReplicaState state = ReplicaState::empty;
    std::string sync_reason;
    LogPoint log_end;
    Lsn durable;
    Lsn applied;
};

namespace receiver_event {
struct Tick {};
struct Received {
    LinkId from;
    Envelope envelope;
    Body body;
};
// A message that the rules of elections did not let in. What it said is lost, so it ends the
// session: going on would leave a gap that nobody notices before the next record comes.
struct NotAdmitted {
    LinkId from;
    Envelope envelope;
};
// Bytes of AppendParts the log has taken since the last Written or Appended: gives credit back
// before the record is finished. Records larger than the window need it; after each part is fine.
struct Written {
    uint64_t bytes;
};
struct Appended {
    Lsn lsn;
    uint64_t bytes;
    Chain chain;
};  // the record is in the log (received)
// Begin, part or finish failed. From here on the log ignores every Append action until
// AppendAbandon.
struct AppendFailed {
    std::string reason;
    bool no_space;
};
// After AppendAbandon, in order with the other answers: where the log ends.
struct AppendAbandoned {
    LogPoint end;
};
// Link::send returned false.
struct SendFailed {
    LinkId to;
};
struct Durable {
    Lsn lsn;
    bool of_sync = false;  // of the sync's log
};
struct Applied {
    Lsn lsn;
};
struct NeedsSync {
    std::string reason;
};  // apply found that it cannot go on (rebase, gap)
// After BeginSyncLog: the records from the sync's base on go to a log of their own.
struct SyncLogBegun {
    uint64_t number;
};
struct SyncLogKept {};  // after KeepSyncLog: it is the log now
struct Adopted {};      // after Adopt: durable
struct EpochDurable {
    Epoch epoch;
};  // after PersistEpoch
// Sync progress, from the sync sink.
struct SyncWantsRange {
    SyncAsk ask;
};                       // hashes are ready, ask the primary
struct SyncAskedAll {};  // the sink has no further range to ask for
struct SyncInstalled {
    LogPoint at;
};  // the pages are in the database, replayed to here
struct SyncFailed {
    std::string reason;
};
struct ShuttingDown {};
}  // namespace receiver_event
using ReceiverEvent =
    std::variant<receiver_event::Tick, receiver_event::Received, receiver_event::NotAdmitted,
                 receiver_event::Written, receiver_event::Appended, receiver_event::AppendFailed,
                 receiver_event::AppendAbandoned, receiver_event::SendFailed,
                 receiver_event::Durable, receiver_event::Applied, receiver_event::NeedsSync,
                 receiver_event::SyncLogBegun, receiver_event::SyncLogKept, receiver_event::Adopted,
                 receiver_event::EpochDurable, receiver_event::SyncWantsRange,
                 receiver_event::SyncAskedAll, receiver_event::SyncInstalled,
                 receiver_event::SyncFailed, receiver_event::ShuttingDown>;

namespace receiver_action {
struct Send {
    LinkId to;
    Message message;
};
struct Adopt {
    ClusterId cluster;
    GroupId group;
    Epoch epoch;
};  // make it durable
struct PersistEpoch {
    Epoch epoch;
};
struct AppendBegin {
    RecordHeader header;
};  // then parts, then finish
struct AppendPart {
    ByteView bytes;
};  // of the payload, no padding; points into the body of the Received event: keep its Frame
struct AppendFinish {
    RecordHeader header;
};                        // answered by Appended or AppendFailed
struct AppendAbandon {};  // drop what was begun; always answered by AppendAbandoned
// The records up to it are settled, also those that are not here yet. appliable() says how far the
// log may be applied.
struct CommittedUpTo {
    Lsn lsn;
};
// A sync begins: what is appended from now on goes to a log that begins at its base. The log before
// stays as it is.
struct BeginSyncLog {
    LogPoint base;
    uint64_t number;
};
struct DropSyncLog {};  // appending goes on in the log before; told before every other use of it
struct KeepSyncLog {};  // the database is the sync's: its log takes the place of the one before
struct SyncBegan {
    SyncBegin begin;
};
struct SyncGotPages {
    SyncPages pages;
};  // images valid during handling only
struct SyncComplete {
    SyncEnd end;
};  // all ranges are in
struct SyncAborted {
    std::string reason;
};  // session lost; staging is kept
struct PrimaryHeard {
    Position end;
    int64_t sent_unix_ns;
    uint64_t log_bytes;
};
struct Report {
    std::string what;
};  // one line for the log and status
}  // namespace receiver_action
using ReceiverAction = std::variant<
    receiver_action::Send, receiver_action::Adopt, receiver_action::PersistEpoch,
    receiver_action::AppendBegin, receiver_action::AppendPart, receiver_action::AppendFinish,
    receiver_action::AppendAbandon, receiver_action::CommittedUpTo, receiver_action::BeginSyncLog,
    receiver_action::DropSyncLog, receiver_action::KeepSyncLog, receiver_action::SyncBegan,
    receiver_action::SyncGotPages, receiver_action::SyncComplete, receiver_action::SyncAborted,
    receiver_action::PrimaryHeard, receiver_action::Report>;

// A primary that is refused asks again within seconds; one that has stopped asking is no news.
constexpr Nanos kRefusalShown = std::chrono::minutes(1);

struct ReceiverView {
    ReplicaState state = ReplicaState::empty;
    std::string reason;
    bool connected = false;
    LinkId link = 0;  // of the session; 0: none
    uint64_t session = 0;
    NodeKey primary;
    std::string primary_name;
    Epoch epoch;
    LogPoint end;  // of the log that belongs to the database; so are these
    Lsn durable, applied;
    bool whole = false;  // the database can be brought to that end
    Position primary_end;
    Instant heard{0};
    // Who was refused within the last kRefusalShown, and why; "" nobody.
    std::string refusal;
};

class Receiver {
  public:
    explicit Receiver(ReceiverStart start);
    std::vector<ReceiverAction> step(const ReceiverEvent& event, Instant now);
    ReceiverView view() const;
    Instant deadline() const;

  private:
    struct State;
    struct StateDeleter {
        void operator()(State*) const;
    };
    std::unique_ptr<State, StateDeleter> state_;
};

}  // namespace tanist
