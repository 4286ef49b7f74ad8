// Bodies of the messages about roles: an operator's commands, history, the roster, votes. For
// message.cc, which knows every type.
#pragma once

#include "replicator/wire/message.h"

namespace tanist {

void put(ByteWriter& out, const Command& command);
void put(ByteWriter& out, const CommandResult& result);
void put(ByteWriter& out, const HistoryAsk& ask);
void put(ByteWriter& out, const History& history);
void put(ByteWriter& out, const Roster& roster);
void put(ByteWriter& out, const Vote& vote);
History take_history(ByteReader& in);
Vote take_vote(ByteReader& in);
void put(ByteWriter& out, const Voters& voters);
Voters take_voters(ByteReader& in);
void put(ByteWriter& out, const VotersHave& have);
// Flags that are not known fail the reader.
VotersHave take_voters_have(ByteReader& in);

}  // namespace tanist
