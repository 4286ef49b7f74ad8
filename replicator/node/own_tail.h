// After a power cut a primary's database may lack its last commits: with synchronous=NORMAL SQLite
// does not sync them. What was confirmed to an application is then in this node's own log, which
// was synced for it, and in the replicas'. So before the primary goes on, its database is brought
// to the end of its log.
//
// A commit that was prepared and neither shown nor taken back, as far as the log knows, is brought
// back with the others: its committer was told that the outcome is not known, and a replica may
// hold it.
#pragma once

#include <string>

#include "replicator/log/log.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

// Where a WAL stands, as its wal-index says after a recovery.
struct WalEnd {
    uint32_t salt1 = 0;
    uint32_t salt2 = 0;
    uint32_t frame = 0;
    uint32_t checksum_a = 0;
    uint32_t checksum_b = 0;
};

// The point of the log from which everything is to be replayed, because a database whose WAL ends
// there has everything before it and nothing that the log lacks. Nothing: the database is not
// behind the log, or not of its history; capture decides.
Result<std::optional<LogPoint>> find_own_tail(Log& log, const WalEnd& wal);

// Replays it as one commit. How many commits of the log that were; zero: there was nothing to do.
// Requires: nobody else writes the database.
Result<uint64_t> replay_own_tail(const SqliteApi& api, const std::string& db_path, Log& log);

}  // namespace tanist
