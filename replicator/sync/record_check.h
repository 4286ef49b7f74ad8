// Whether a database already is at a record: what decides, after a power cut, how much of the log
// can be replayed without the primary.
#pragma once

#include "replicator/log/log.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {

// False: the database is certainly not at `record`, which is a commit in `log`. True: it has the
// record's size and each of its pages, so it may be. Nobody may write meanwhile.
Result<bool> may_be_at(SqliteHandle& handle, LogReader& log, const RecordHeader& record);

}  // namespace tanist
