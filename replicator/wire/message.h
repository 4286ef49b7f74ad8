// The messages between nodes. Byte layout and rules: docs/wire-protocol.md. Pure.
//
// A message is one or two ZeroMQ frames: a fixed 64-byte envelope and, when body_bytes is not zero,
// a body. The envelope carries its own checksum and the hash of the body.
//
// Every decoder is a pure function of the bytes, allocates nothing by a length it has not compared
// with limits.h, and refuses what it does not know.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "replicator/base/bytes.h"
#include "replicator/base/clock.h"
#include "replicator/base/ids.h"
#include "replicator/base/keys.h"
#include "replicator/base/limits.h"
#include "replicator/base/result.h"

namespace tanist {

constexpr uint32_t kWireMagic = 0x5057'4E54;  // "TNWP"
constexpr uint16_t kWireVersion = 1;          // spoken; HELLO carries the range
constexpr size_t kEnvelopeBytes = 64;

// On the wire for ever; zero is never valid.
enum class MessageType : uint16_t {
    hello = 1,            // primary -> replica: opens a session
    welcome = 2,          // replica -> primary: accepts; says where it stands
    refuse = 3,           // both: the session does not happen or ends; says why
    data = 4,             // primary -> replica: a chunk of a record
    heartbeat = 5,        // primary -> replica
    ack = 6,              // replica -> primary: positions and credit; also answers a heartbeat
    need_sync = 7,        // replica -> primary: cannot go on from the log
    sync_begin = 8,       // primary -> replica, on the sync socket
    sync_ask = 9,         // replica -> primary: a page range, with hashes of what is there
    sync_pages = 10,      // primary -> replica: the pages that differ; several per ask
    sync_end = 11,        // primary -> replica: from which LSN on the pages are consistent
    status_ask = 12,      // anybody -> daemon
    status = 13,          // daemon -> anybody: JSON
    join = 14,            // admitter -> new node, over CURVE: you belong to us; once per invitation
    joined = 15,          // new node -> admitter
    members = 16,         // primary -> replica: the signed member list
    members_have = 17,    // replica -> primary: which version of it is kept
    new_key = 18,         // replica -> primary: its new identity, announced under the old one
    command = 19,         // operator -> daemon, on its admin socket only: JSON
    command_result = 20,  // daemon -> operator: JSON
    history_ask = 21,     // replica -> primary: what is your record of this LSN?
    history = 22,         // primary -> replica
    roster = 23,          // primary -> replica: who belongs to the cluster, where there are no keys
    vote = 24,            // voter, candidate, holder -> one another
    voters = 25,          // member -> member: who votes; or only asks who that is
    voters_have = 26,     // member -> member: who that is, and which list of voters it keeps
};
constexpr MessageType kMessageTypeLast = MessageType::voters_have;

enum class RefuseCode : uint16_t {
    version = 1,  // no common protocol version
    other_cluster = 2,
    other_group = 3,    // holds another database
    stale_epoch = 4,    // envelope.epoch has the higher one
    not_a_replica = 5,  // that node is a primary itself
    superseded = 6,     // a newer session of the same node took over
    diverged = 7,
    storage = 8,  // its disk is full or failing; text has the reason
    protocol = 9,
    shutting_down = 10,
    unknown_session = 11,  // that session is over here: say HELLO again
    not_allowed = 12,      // the sender's key may not do that here
    invitation = 13,       // wrong, used or expired
};
constexpr RefuseCode kRefuseCodeLast = RefuseCode::invitation;

// The fields every message has.
struct Envelope {
    MessageType type = MessageType::hello;
    uint16_t flags = 0;
    uint32_t stream = 0;   // database number; 0
    uint64_t session = 0;  // random, chosen by the primary per session
    Epoch epoch;           // the sender's
    Lsn lsn;               // meaning depends on the type
    uint64_t offset = 0;   // data: within the record's bytes; sync_begin, ack: number of a sync
    uint32_t body_bytes = 0;
    uint32_t body_hash = 0;  // low half of hash64 of the body; 0 when there is none
};

struct Hello {
    uint16_t version_min = kWireVersion;
    uint16_t version_max = kWireVersion;
    uint32_t capabilities = 0;
    ClusterId cluster;
    GroupId group;
    NodeKey node;
    std::string name;  // of the sender, for people
    uint32_t page_bytes = 0;
    uint32_t db_pages = 0;
    Lsn log_first;  // oldest record the primary can send
    Position end;
    Chain end_chain;
};

enum class ReplicaState : uint16_t { empty = 1, following = 2, needs_sync = 3 };

struct Welcome {
    uint16_t version = kWireVersion;
    uint32_t capabilities = 0;
    ClusterId cluster;  // zero: not yet adopted
    GroupId group;
    NodeKey node;
    std::string name;
    ReplicaState state = ReplicaState::empty;
    Position end;  // of its log, durable or not
    Chain end_chain;
    Lsn durable;
    Lsn applied;
    uint64_t credit = 0;  // bytes of bodies it takes in this session, counted from its start
};

struct Refuse {
    RefuseCode code = RefuseCode::protocol;
    std::string text;  // one sentence with cause and remedy
};

// The log's bytes from (envelope.lsn, envelope.offset) on: a chunk of a long record, or several
// short records one after the other. A record's first bytes come with its whole header. Flag
// kDataLast: they end at the end of a record. kDataReceiptWanted: a commit may wait for their
// receipt, so that is acknowledged before they are durable.
struct Data {
    Lsn committed;   // encoded in the body's first 8 bytes: records up to it may be applied
    ByteView bytes;  // points into the received frame
};
constexpr uint16_t kDataLast = 1;
constexpr uint16_t kDataReceiptWanted = 2;
constexpr size_t kDataPrefixBytes = 8;

struct Heartbeat {
    int64_t sent_unix_ns = 0;
    Position end;  // of the primary's log
    Lsn committed;
    uint64_t log_bytes = 0;  // running total of record bytes, for lag in bytes
};

struct Ack {
    Lsn received;
    Lsn durable;
    Lsn applied;
    uint64_t credit = 0;       // running total, as in Welcome
    int64_t echo_unix_ns = 0;  // of the newest heartbeat; 0 none yet
};

struct NeedSync {
    std::string reason;
};

struct SyncBegin {
    Position base;  // pages are at least as new as this; replay the log from here
    Chain base_chain;
    uint32_t page_bytes = 0;
    uint32_t db_pages = 0;
};

// Pages [first, first + count). No hashes: send all of them. Else one hash128 per page the replica
// has (fewer than count: the rest it does not have). count 0: every range was answered; answered by
// sync_end.
struct SyncAsk {
    uint32_t ask = 0;  // number of the request, echoed
    uint32_t first = 0;
    uint32_t count = 0;
    std::vector<Hash128> hashes;
};

struct SyncPages {
    uint32_t ask = 0;
    bool last = false;  // the ask is answered; envelope flag kSyncPagesLast
    uint32_t page_bytes = 0;
    std::vector<uint32_t> pages;
    ByteView images;  // pages.size() * page_bytes, points into the received frame
};

constexpr uint16_t kSyncPagesLast = 1;

// After the last range. Consistent at every position >= end; the size there follows from the log.
struct SyncEnd {
    Position end;
    uint32_t db_pages = 0;  // at `end`
};

struct StatusAsk {};
struct StatusText {
    std::string json;
};

// Member lists are opaque here: control/member_list.h.
struct Join {
    std::array<uint8_t, 16> secret{};
    NodeKey node;  // the sender's; its CURVE key must be the one it came with
    Bytes list;    // signed by the sender, with the receiver in it
};

struct Joined {
    NodeKey node;
    std::string name;
};

struct MembersList {
    Bytes list;
};

struct MembersHave {
    uint64_t version = 0;
};

// Both signatures are over new_key_statement().
struct NewKey {
    NodeKey key;
    Signature by_old;
    Signature by_new;
};

// What an operator wants done, and how it ended; the fields are in docs/wire-protocol.md.
struct Command {
    std::string json;
};
struct CommandResult {
    std::string json;
};

// How a node that held records under an older epoch finds the last record that it has in common
// with its new primary.
struct HistoryAsk {
    Lsn lsn;
};
struct History {
    Lsn asked;
    bool known = false;  // false: not written, or no longer in the log
    Position position;   // of the record with that LSN; zero unless known
    Chain chain;         // after it
};

// Every member, the primary too: the text of a members file (control/members.h).
struct Roster {
    std::string text;
};

// A message of the failover protocol; its layout is docs/failover.md, opaque here.
struct Vote {
    NodeKey from;  // where nothing authenticates the sender; else it must be that key
    Bytes message;
};

// The list of those who vote (node/voter_list.h), opaque here; empty: only a question.
struct Voters {
    NodeKey from;  // as in Vote
    Bytes list;
};
struct VotersHave {
    NodeKey node;
    Epoch epoch;  // of the list that it keeps, and its version; zeros: none
    uint32_t version = 0;
    uint16_t priority = 0;
    bool witness = false;  // a data-less voter
    bool nofailover = false;
};

using Body = std::variant<Hello, Welcome, Refuse, Data, Heartbeat, Ack, NeedSync, SyncBegin,
                          SyncAsk, SyncPages, SyncEnd, StatusAsk, StatusText, Join, Joined,
                          MembersList, MembersHave, NewKey, Command, CommandResult, HistoryAsk,
                          History, Roster, Vote, Voters, VotersHave>;

struct Message {
    Envelope envelope;  // type, flags, body_bytes, body_hash are filled by encode
    Body body;
};

// corrupt or version, with what was wrong.
Result<Envelope> decode_envelope(ByteView frame);
Result<Body> decode_body(const Envelope& envelope, ByteView frame);
// Replaces `envelope_out` by the envelope's 64 bytes and `body_out` by the body (empty when there
// is none). Texts longer than their bound are cut.
void encode(const Message& message, Bytes& envelope_out, Bytes& body_out);
// The same for a record chunk without a copy: `body` is kDataPrefixBytes of room, then the chunk.
// Fills the room and returns the envelope. Of `envelope`, session, epoch, lsn, offset are used.
Bytes encode_data(const Envelope& envelope, Lsn committed, bool last, Bytes& body);
// One copy of the images. Requires: pages.size() * page_bytes == images.size(), which is at most
// limits::kBodyBytesMax. Of `envelope`, session and epoch are used.
void encode_sync_pages(const Envelope& envelope, const SyncPages& pages, Bytes& envelope_out,
                       Bytes& body_out);
MessageType type_of(const Body& body);
const char* to_string(MessageType type);
const char* to_string(RefuseCode code);

}  // namespace tanist
