// How a place in the log is written in files and messages: epoch (8), LSN (8), chain (16).
#pragma once

#include "replicator/base/bytes.h"
#include "replicator/base/ids.h"

namespace tanist {

void encode(const LogPoint& point, ByteWriter& out);
LogPoint decode_log_point(ByteReader& in);

}  // namespace tanist
