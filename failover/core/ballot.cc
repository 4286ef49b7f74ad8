#include "failover/core/ballot.h"

#include "replicator/base/hash.h"

namespace tanist::failover {
namespace {

constexpr size_t kPrefixBytes = 16;
constexpr uint8_t kSuspect = 1, kLost = 2, kAcksUnsynced = 4, kCleanStop = 8;

void encode_body(const Ballot& ballot, ByteWriter& out) {
    out.u64(ballot.serial);
    out.from(ballot.node.bytes);
    out.u64(ballot.promised.value);
    out.u64(ballot.voted.epoch.value);
    out.from(ballot.voted.candidate.bytes);
    out.u64(ballot.voted.nonce);
    out.u64(ballot.released.value);
    encode(ballot.policy, out);
    out.u8(static_cast<uint8_t>((ballot.suspect ? kSuspect : 0) | (ballot.lost ? kLost : 0) |
                                (ballot.acks_unsynced ? kAcksUnsynced : 0) |
                                (ballot.clean_stop ? kCleanStop : 0)));
    out.u64(ballot.commit_hint.epoch.value);
    out.u64(ballot.commit_hint.lsn.value);
    out.from(ballot.boot.bytes);
    encode(ballot.config, out);
}

Result<Ballot> decode_body(ByteReader& in) {
    Ballot ballot;
    ballot.serial = in.u64();
    in.into(ballot.node.bytes);
    ballot.promised = Epoch(in.u64());
    ballot.voted.epoch = Epoch(in.u64());
    in.into(ballot.voted.candidate.bytes);
    ballot.voted.nonce = in.u64();
    ballot.released = Epoch(in.u64());
    ballot.policy = decode_policy(in);
    const uint8_t flags = in.u8();
    ballot.suspect = (flags & kSuspect) != 0;
    ballot.lost = (flags & kLost) != 0;
    ballot.acks_unsynced = (flags & kAcksUnsynced) != 0;
    ballot.clean_stop = (flags & kCleanStop) != 0;
    ballot.commit_hint.epoch = Epoch(in.u64());
    ballot.commit_hint.lsn = Lsn(in.u64());
    in.into(ballot.boot.bytes);
    Result<Config> config = decode_config(in);
    if (!config.ok()) return std::move(config).error();
    ballot.config = *std::move(config);
    if ((flags & ~(kSuspect | kLost | kAcksUnsynced | kCleanStop)) != 0) {
        return Error{Errc::corrupt, "a ballot has flags that this program does not know"};
    }
    return ballot;
}

}  // namespace

std::string why_invalid(const Ballot& ballot) {
    if (ballot.serial == 0) return "a ballot's serial begins at 1";
    if (ballot.node.is_zero()) return "a ballot without a node";
    if (ballot.voted.epoch > ballot.promised) return "a vote above the promise";
    if (ballot.released > ballot.promised) return "a release above the promise";
    return why_invalid(ballot.config);
}

Bytes encode_slot(const Ballot& ballot) {
    Bytes body;
    ByteWriter body_out(body);
    encode_body(ballot, body_out);
    Bytes slot;
    slot.reserve(kBallotSlotBytes);
    ByteWriter out(slot);
    out.u32(kBallotMagic);
    out.u16(kBallotVersion);
    out.u16(kPrefixBytes);
    out.u32(static_cast<uint32_t>(body.size()));
    out.u32(0);
    out.raw(body);
    out.u64(hash64(slot));
    slot.resize(kBallotSlotBytes, 0);
    return slot;
}

Result<Ballot> decode_slot(ByteView bytes) {
    const Error bad{Errc::corrupt, "a slot of the ballot is damaged"};
    if (bytes.size() != kBallotSlotBytes) return bad;
    ByteReader in(bytes);
    if (in.u32() != kBallotMagic) return bad;
    const uint16_t version = in.u16();
    if (in.u16() != kPrefixBytes && version == kBallotVersion) return bad;
    if (version != kBallotVersion) {
        return Error{Errc::version, "the ballot has version " + std::to_string(version) +
                                        ", this program reads " + std::to_string(kBallotVersion)};
    }
    const size_t body_bytes = in.u32();
    if (in.u32() != 0 || body_bytes > kBallotSlotBytes - kPrefixBytes - 8) return bad;
    ByteReader body(in.raw(body_bytes));
    if (in.u64() != hash64(bytes.first(kPrefixBytes + body_bytes))) return bad;
    Result<Ballot> ballot = decode_body(body);
    if (!ballot.ok()) return ballot;
    if (body.left() != 0) return bad;
    for (uint8_t rest : in.raw(in.left())) {
        if (rest != 0) return bad;
    }
    if (std::string why = why_invalid(*ballot); !why.empty()) return Error{Errc::corrupt, why};
    return ballot;
}

namespace {

Result<LoadedBallot> newest_slot(ByteView file) {
    LoadedBallot loaded;
    for (size_t slot = 0; slot < 2; ++slot) {
        if (file.size() < (slot + 1) * kBallotSlotBytes) continue;
        Result<Ballot> read = decode_slot(file.subspan(slot * kBallotSlotBytes, kBallotSlotBytes));
        if (!read.ok()) {
            if (read.error().code == Errc::version) return std::move(read).error();
            continue;
        }
        if (loaded.ballot && loaded.ballot->serial >= read->serial) continue;
        loaded.ballot = *std::move(read);
        loaded.next_slot = slot == 0 ? 1 : 0;
    }
    return loaded;
}

}  // namespace

Result<LoadedBallot> judge_ballot_file(ByteView file, const NodeKey& self,
                                       const PastEvidence& past) {
    Result<LoadedBallot> read = newest_slot(file);
    if (!read.ok()) return read;
    LoadedBallot loaded = *std::move(read);
    const auto lost = [&](std::string why) {
        loaded.condition = BallotCondition::lost;
        loaded.ballot.reset();
        loaded.reason = std::move(why);
        return loaded;
    };
    if (!loaded.ballot) {
        const bool had_past =
            past.member_before || past.log_epoch > Epoch(0) || past.token_epoch > Epoch(0);
        if (!file.empty()) return lost("the ballot file has no valid slot");
        if (had_past) return lost("the ballot file is gone");
        return loaded;
    }
    const Ballot& ballot = *loaded.ballot;
    if (ballot.node != self) return lost("the ballot file is another node's");
    if (ballot.promised < past.token_epoch) return lost("the ballot is older than the token");
    if (ballot.promised < past.log_epoch) return lost("the ballot is older than the log");
    loaded.condition = BallotCondition::good;
    return loaded;
}

}  // namespace tanist::failover
