#include "replicator/wire/message_role.h"

namespace tanist {
namespace {

constexpr uint8_t kWitness = 1, kNofailover = 2;

void put_text(ByteWriter& out, std::string_view text, size_t bytes_max) {
    out.raw(view_of(text.substr(0, bytes_max)));
}

}  // namespace

void put(ByteWriter& out, const Command& command) {
    put_text(out, command.json, limits::kControlBodyBytesMax);
}
void put(ByteWriter& out, const CommandResult& result) {
    put_text(out, result.json, limits::kFrameBytesMax);
}
void put(ByteWriter& out, const Roster& roster) {
    put_text(out, roster.text, limits::kControlBodyBytesMax);
}

void put(ByteWriter& out, const HistoryAsk& ask) { out.u64(ask.lsn.value); }

// A record's epoch is never zero.
void put(ByteWriter& out, const History& history) {
    const Position position = history.known ? history.position : Position{};
    out.u64(history.asked.value);
    out.u64(position.epoch.value);
    out.u64(position.lsn.value);
    out.from(history.known ? history.chain.bytes : Chain{}.bytes);
}

History take_history(ByteReader& in) {
    History history;
    history.asked = Lsn(in.u64());
    history.position.epoch = Epoch(in.u64());
    history.position.lsn = Lsn(in.u64());
    in.into(history.chain.bytes);
    history.known = history.position.epoch.value != 0;
    const bool empty = history.position.lsn.value == 0 && history.chain.is_zero();
    // Too long a read fails it.
    if (!history.known && !empty) in.raw(in.left() + 1);
    return history;
}

void put(ByteWriter& out, const Vote& vote) {
    out.from(vote.from.bytes);
    out.raw(vote.message);
}

Vote take_vote(ByteReader& in) {
    Vote vote;
    in.into(vote.from.bytes);
    const ByteView message = in.raw(in.left());
    vote.message.assign(message.begin(), message.end());
    return vote;
}

void put(ByteWriter& out, const Voters& voters) {
    out.from(voters.from.bytes);
    out.raw(voters.list);
}

Voters take_voters(ByteReader& in) {
    Voters voters;
    in.into(voters.from.bytes);
    const ByteView list = in.raw(in.left());
    voters.list.assign(list.begin(), list.end());
    return voters;
}

void put(ByteWriter& out, const VotersHave& have) {
    out.from(have.node.bytes);
    out.u64(have.epoch.value);
    out.u32(have.version);
    out.u16(have.priority);
    out.u8(
        static_cast<uint8_t>((have.witness ? kWitness : 0) | (have.nofailover ? kNofailover : 0)));
}

VotersHave take_voters_have(ByteReader& in) {
    VotersHave have;
    in.into(have.node.bytes);
    have.epoch = Epoch(in.u64());
    have.version = in.u32();
    have.priority = in.u16();
    const uint8_t flags = in.u8();
    have.witness = (flags & kWitness) != 0;
    have.nofailover = (flags & kNofailover) != 0;
    // Too long a read fails it.
    if ((flags & ~(kWitness | kNofailover)) != 0) in.raw(in.left() + 1);
    return have;
}

}  // namespace tanist
