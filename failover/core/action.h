// What the pure code wants done, in order. The adapter performs actions and holds no rule.
//
// An action that must wait for a ballot on disk says so in its type: SendAfterPersist leaves only
// when the ballot with that serial (or a later one) is durable. Persists may be merged: only the
// newest needs to reach the disk.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "failover/core/ballot.h"
#include "failover/core/message.h"

namespace tanist::failover {

// What writers and readers of this node may do. The adapter puts it into the control block.
enum class GateState : uint8_t {
    closed,   // not primary: SQLITE_READONLY
    waiting,  // primary without a lease, or about to hand over: no new write locks (SQLITE_BUSY)
    open,     // primary: writes while the clock is before `until`
};
struct Gate {
    GateState state = GateState::closed;
    Epoch epoch;
    Instant until{0};  // open: the lease minus guard, on this node's clock
    bool operator==(const Gate&) const = default;
};

namespace action {

// Write the ballot and sync it, then the token if there is one; then give event::Persisted.
struct Persist {
    Ballot ballot;
    std::optional<Token> token;
};
struct Send {
    NodeKey to;
    Message message;
};
struct SendAfterPersist {
    uint64_t serial = 0;
    NodeKey to;
    Message message;
};
// For a promise file that survives this process but not the machine's boot; it spares a restarted
// voter the wait (G5). May be left undone.
struct NotePromise {
    NodeKey holder;
    Epoch epoch;
    Instant until{0};
};
struct SetGate {
    Gate gate;
};
// This node holds the token: append an EPOCH record of token.epoch, ship it, then give
// event::BarrierAppended. Nothing else may be appended before it.
struct BeginEpoch {
    Token token;
};
// Append another EPOCH record of the same epoch: its commit proves that the policy holds.
struct AppendBarrier {};
// Records up to it are committed: apply them, wake who waits.
struct Committed {
    Position watermark;
};
// Stop shipping and appending as holder of the epoch, now.
struct StepDown {
    Epoch epoch;
    std::string reason;
};
// The primary is now the token's holder: expect its records, answer lower epochs with the token.
struct Follow {
    Token token;
};
// Let no new writer begin; when the running one has ended and the log end will not move any more,
// give event::Drained. Resume takes it back.
struct Drain {};
struct Resume {};
// For status, log, metrics and hooks.
struct Report {
    std::string what;
};

}  // namespace action

using Action =
    std::variant<action::Persist, action::Send, action::SendAfterPersist, action::NotePromise,
                 action::SetGate, action::BeginEpoch, action::AppendBarrier, action::Committed,
                 action::StepDown, action::Follow, action::Drain, action::Resume, action::Report>;
using Actions = std::vector<Action>;

}  // namespace tanist::failover
