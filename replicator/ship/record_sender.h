// Performs the follower's SendRecords: chunks of records, read from the log, handed to a link.
#pragma once

#include <functional>

#include "replicator/log/log.h"
#include "replicator/ship/follower.h"

namespace tanist {

// `send` takes an envelope and a body and returns false when the connection is gone. A record that
// retention has taken ends it early: the next LogView tells the follower.
// unreachable: `send` returned false. Otherwise the log could not be read.
Result<follower_event::Sent> send_records(LogReader& log,
                                          const follower_action::SendRecords& action,
                                          const std::function<bool(ByteView, Bytes)>& send);

}  // namespace tanist
