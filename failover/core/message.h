// What voters, candidates and holders say to each other. Pure values with one encoder and one
// decoder; layout: docs/failover.md, "Messages". The sender's identity is not in a message: it is
// the authenticated peer (CURVE) that it came from. Every message may be lost, repeated, delayed
// and reordered; none is trusted to have arrived until its answer did.
#pragma once

#include <optional>
#include <variant>

#include "failover/core/token.h"

namespace tanist::failover {

// holder -> all voters, every heartbeat.
struct Renew {
    Epoch epoch;
    uint64_t seq = 0;    // the holder remembers when it sent it
    Position end;        // of its log
    Position committed;  // the watermark; zero until the epoch's barrier is committed
    Policy policy;       // in force
    bool operator==(const Renew&) const = default;
};
struct RenewAck {
    Epoch epoch;
    uint64_t seq = 0;
    Epoch promised;
    bool operator==(const RenewAck&) const = default;
};

// candidate -> all voters. As a pre-vote it asks "would you?", and nothing is kept.
struct VoteAsk {
    GrantTerms terms;
    bool pre = false;
    std::optional<ReleaseCert> release;
    std::optional<OperatorCert> order;
    bool operator==(const VoteAsk&) const = default;
};
struct PreGrant {
    Epoch epoch;
    uint64_t nonce = 0;
    bool is_data = false;
    Policy policy;
    Epoch promised;
    bool operator==(const PreGrant&) const = default;
};
struct VoteGrant {
    Epoch epoch;
    uint64_t nonce = 0;
    Grant grant;
    bool operator==(const VoteGrant&) const = default;
};

// Why a voter does not, in the order of the rules. Zero is never valid.
enum class RefuseReason : uint8_t {
    not_electable = 1,  // G1: other cluster or group, no data member, nofailover
    stale = 2,          // G2: `promised` is as high, or another candidate has that vote
    config = 3,         // G3: `config` is newer
    lease = 4,          // G4: a promise to another holder is alive, for `remaining`
    restarted = 5,      // G5: it may have made a promise before it restarted
    log = 6,            // G6: its own log, ending at `end`, goes further
    paused = 7,         // automatic elections are paused
    lag = 8,            // more would be lost than the config allows
    need_token = 9,     // a renewal in an epoch that it has no token of
    lost_ballot = 10,   // it does not know what it promised
};
const char* to_string(RefuseReason reason);

struct Refuse {
    Epoch epoch;  // of what is refused
    uint64_t nonce = 0;
    bool pre = false;
    RefuseReason reason = RefuseReason::stale;
    Epoch promised;
    Position end;
    ConfigId config;
    Nanos remaining{0};
    std::optional<Token> token;  // stale: the newest it has
    bool operator==(const Refuse&) const = default;
};

// anybody -> anybody: this token exists.
struct Announce {
    Token token;
    bool operator==(const Announce&) const = default;
};
// holder -> voters: store this durably.
struct PolicyStore {
    Epoch epoch;
    Policy policy;
    bool operator==(const PolicyStore&) const = default;
};
struct PolicyStored {
    Epoch epoch;
    PolicyId id;
    bool operator==(const PolicyStored&) const = default;
};
// The former holder, or anybody who has the certificate -> all voters.
struct Release {
    ReleaseCert cert;
    bool operator==(const Release&) const = default;
};
// A voter that lost its ballot, or has just started -> all others: what have you promised?
struct PromiseAsk {
    uint64_t nonce = 0;
    bool operator==(const PromiseAsk&) const = default;
};
struct PromiseTold {
    uint64_t nonce = 0;
    Epoch promised;
    Policy policy;
    bool lost = false;  // it does not know either
    bool operator==(const PromiseTold&) const = default;
};

// A suspect voter -> the holder, and back: where does your log end, now? The nonce is of this start
// of the voter, so that no older answer is taken for this one: what the voter lost when it
// rebooted may be newer than anything the holder had said before.
struct EndAsk {
    Epoch epoch;
    uint64_t nonce = 0;
    bool operator==(const EndAsk&) const = default;
};
struct EndTold {
    Epoch epoch;
    uint64_t nonce = 0;
    Lsn end;
    bool operator==(const EndTold&) const = default;
};

// The encoded type is the index plus one; new messages go to the end.
using Message =
    std::variant<Renew, RenewAck, VoteAsk, PreGrant, VoteGrant, Refuse, Announce, PolicyStore,
                 PolicyStored, Release, PromiseAsk, PromiseTold, EndAsk, EndTold>;
const char* name_of(const Message& message);

constexpr uint16_t kMessageVersion = 1;
constexpr size_t kMessageBytesMax = 32u << 10;
Bytes encode(const Message& message);
// version: with both numbers. corrupt: anything else.
Result<Message> decode_message(ByteView bytes);

}  // namespace tanist::failover
