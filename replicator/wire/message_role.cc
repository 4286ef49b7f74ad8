#include "replicator/wire/message_role.h"

namespace tanist {
namespace {

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

}  // namespace tanist
