// The certificates: who may be primary in an epoch, and who gave that up. Pure; signatures come
// from a Signer.
//
// A Token makes `holder` the holder of `epoch`. It is a set of grants, each signed by one voter
// over the same terms, so that anybody who knows the config verifies it offline. A voter signs at
// most one candidate per epoch, after its vote is durable (voter.h); hence at most one token per
// epoch (ONE-HOLDER).
//
// Everything signed is a fixed-width little-endian encoding behind a domain of 16 bytes; tables in
// docs/failover.md. Signatures prove who said what. They do not make a lying voter harmless.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "failover/core/policy.h"

namespace tanist::failover {

struct Signature {  // Ed25519
    std::array<uint8_t, 64> bytes{};
    bool operator==(const Signature&) const = default;
};

// This node's key, and everybody's signatures. failover/adapters/sodium_signer.h is Ed25519.
class Signer {
  public:
    virtual ~Signer() = default;
    virtual NodeKey self() const = 0;
    virtual Signature sign(ByteView message) const = 0;
    virtual bool verify(const NodeKey& by, ByteView message, const Signature& is) const = 0;
};

// Why an election is held. On the wire and signed; zero is never valid.
enum class VoteKind : uint8_t {
    automatic = 1,  // a promise ran out
    handover = 2,   // the holder released its epoch, and the candidate has all of its log
    lossy = 3,      // automatic, asynchronous group: the config allows the data rule to be dropped
    ordered = 4,    // an operator named the candidate; all rules hold
    accept_loss = 5,  // the same, without the data rule
    forced = 6,       // no majority can be asked: the operator's word stands for it
};
const char* to_string(VoteKind kind);
inline bool by_operator(VoteKind kind) { return kind >= VoteKind::ordered; }
// The data rule is given up: acknowledged commits may be left behind.
inline bool may_lose(VoteKind kind) {
    return kind == VoteKind::lossy || kind == VoteKind::accept_loss || kind == VoteKind::forced;
}

// What all grants of one token say.
struct GrantTerms {
    ClusterId cluster;
    GroupId group;
    Epoch epoch;
    NodeKey candidate;
    uint64_t nonce = 0;  // of this candidacy: a repeated request is told from a second one
    ConfigId config;
    LogPoint base;  // the candidate's log end: the history that the epoch continues
    VoteKind kind = VoteKind::automatic;
    // The newest epoch of this history, before this one, that began without the data rule: what
    // was committed earlier than that may have been given up, and binds nobody any more (S8).
    Epoch loss_epoch;
    bool operator==(const GrantTerms&) const = default;
};

struct Grant {
    NodeKey voter;
    bool is_data = false;  // member of S and not suspect: counts for the data rule
    Policy policy;         // the newest that the voter has stored
    Signature signature;
    bool operator==(const Grant&) const = default;
};
Bytes signed_bytes(const GrantTerms& terms, const Grant& grant);
Grant make_grant(const GrantTerms& terms, bool is_data, const Policy& policy, const Signer& signer);

// The holder of `epoch` has stopped for good: it neither ships nor commits in that epoch again
// (persisted before this leaves it). Voters need not wait for their promise.
struct ReleaseCert {
    ClusterId cluster;
    GroupId group;
    Epoch epoch;
    NodeKey holder;
    NodeKey successor;  // asked first, for handover_window; zero: anybody
    LogPoint final;     // the holder's log end
    uint64_t nonce = 0;
    Signature signature;
    bool operator==(const ReleaseCert&) const = default;
};
Bytes signed_bytes(const ReleaseCert& cert);

// An operator's order to promote `target`.
struct OperatorCert {
    ClusterId cluster;
    GroupId group;
    VoteKind kind = VoteKind::ordered;
    Epoch epoch;  // forced: the very epoch; else the least one, zero for any
    NodeKey target;
    uint64_t loss_records = 0;   // what the operator was told might be lost
    int64_t signed_unix_ns = 0;  // for people
    Hash128 statement;           // hash of the assertion that the operator typed
    uint64_t nonce = 0;
    NodeKey by;
    Signature signature;
    bool operator==(const OperatorCert&) const = default;
};
Bytes signed_bytes(const OperatorCert& cert);

struct Token {
    GrantTerms terms;
    std::vector<Grant> grants;
    std::optional<ReleaseCert> release;  // handover
    std::optional<OperatorCert> order;   // the operator's kinds

    Epoch epoch() const { return terms.epoch; }
    const NodeKey& holder() const { return terms.candidate; }
    // loss_epoch of the next token, if it continues this one.
    Epoch loss_epoch_after() const { return may_lose(terms.kind) ? terms.epoch : terms.loss_epoch; }
    bool operator==(const Token&) const = default;
};

// A handover needs no data grants: what was committed up to the released epoch is in its holder's
// log, and the candidate has all of that. Every granting voter had promised nothing newer.
bool is_covered(const ReleaseCert& cert, const GrantTerms& terms);
// The newest policy among the grants; it says which k the data rule has.
Policy newest_policy(const Token& token, const Config& config);
// The rule alone, without signatures: distinct voters, a majority, and N - k data grants of the
// newest policy's k, or what the kind allows instead.
bool has_quorum(const Token& token, const Config& config);
// refused: with the rule that it breaks. invalid: another cluster's, or another config's.
Status verify(const Token& token, const Config& config, const Signer& signer);
Status verify(const ReleaseCert& cert, const Config& config, const Signer& signer);
Status verify(const OperatorCert& cert, const Config& config, const Signer& signer);

void encode(const GrantTerms& terms, ByteWriter& out);
void encode(const Grant& grant, ByteWriter& out);
void encode(const ReleaseCert& cert, ByteWriter& out);
void encode(const OperatorCert& cert, ByteWriter& out);
void encode(const Token& token, ByteWriter& out);
GrantTerms decode_terms(ByteReader& in);
Grant decode_grant(ByteReader& in);
ReleaseCert decode_release(ByteReader& in);
OperatorCert decode_order(ByteReader& in);
Result<Token> decode_token(ByteReader& in);

// The file <db>-tanist/token: magic, version, length, the token, checksum. docs/failover.md.
Bytes token_file(const Token& token);
Result<Token> read_token_file(ByteView bytes);
constexpr size_t kTokenFileBytesMax = 16384;

}  // namespace tanist::failover
