// What a voter must never forget, and its file <db>-tanist/ballot. Pure; failover/adapters/
// ballot_store.h reads and writes the file. Format page: docs/failover.md, "Ballot file".
//
// The file has two slots, each with its own checksum; a write goes to the slot that does not hold
// the newest valid ballot and is synced before anything that depends on it is sent. So a torn write
// loses the new ballot (nobody has heard of it) and never the old one.
//
// No valid slot in a file that exists, or a ballot older than the node's own log or token (a
// restored backup), is `lost`: such a voter must not believe that it never voted.
#pragma once

#include <optional>
#include <string>

#include "failover/core/token.h"

namespace tanist {
struct BootTag;
}

namespace tanist::failover {

using BootId = Id128<BootTag>;  // boot_id() of base/file.h

struct Vote {  // the one candidate of an epoch
    Epoch epoch;
    NodeKey candidate;
    uint64_t nonce = 0;
    bool operator==(const Vote&) const = default;
};

struct Ballot {
    uint64_t serial = 0;  // +1 with each write
    NodeKey node;         // whose it is
    Epoch promised;       // never decreases
    Vote voted;
    Epoch released;        // the highest epoch that this node gave up as its holder
    Policy policy;         // the newest stored
    Position commit_hint;  // a watermark it has heard of; may lag, never decreases
    bool suspect = false;  // its log may lack what it acknowledged: no data grants
    bool lost = false;     // its earlier votes are unknown: no grants and no acks
    bool acks_unsynced =
        false;  // it gave `received` acks: a reboot that is not clean makes it suspect
    bool clean_stop = false;  // the last thing written was a clean stop
    BootId boot;              // in which the node ran last
    Config config;
    bool operator==(const Ballot&) const = default;
};

constexpr uint32_t kBallotMagic = 0x4C42'4E54;  // "TNBL"
constexpr uint16_t kBallotVersion = 1;
constexpr size_t kBallotSlotBytes = 8192;
constexpr size_t kBallotFileBytes = 2 * kBallotSlotBytes;

// One whole slot. Requires: why_invalid(ballot) is empty.
Bytes encode_slot(const Ballot& ballot);
// corrupt, or version with both numbers.
Result<Ballot> decode_slot(ByteView bytes);
std::string why_invalid(const Ballot& ballot);

enum class BallotCondition {
    fresh,  // there is no file, and nothing says that there was one
    good,
    lost,
};
struct LoadedBallot {
    BallotCondition condition = BallotCondition::fresh;
    std::optional<Ballot> ballot;  // good: the newest valid one
    std::string reason;            // lost: why
    int next_slot = 0;             // to be written next: 0 or 1
};
// What else this node knows of its past, to notice a ballot restored from a backup.
struct PastEvidence {
    bool member_before = false;  // the node has been initialised as a member
    Epoch log_epoch;             // of the last record
    Epoch token_epoch;           // of the token file
};
// `file`: empty when there is none. An Error only for a file of a later version, which must not be
// touched.
Result<LoadedBallot> judge_ballot_file(ByteView file, const NodeKey& self,
                                       const PastEvidence& past);

}  // namespace tanist::failover
