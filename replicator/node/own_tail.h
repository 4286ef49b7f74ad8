// After a power cut a primary's database may lack its last commits: with synchronous=NORMAL SQLite
// does not sync them. What was confirmed to an application is then in this node's own log, which
// was synced for it, and in the replicas'. So before the primary goes on, its database is brought
// to the end of its log.
//
// A commit that was prepared and neither shown nor taken back, as far as the log knows, is brought
// back with the others: its committer was told that the outcome is not known, and a replica may
// hold it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "replicator/control/control_block.h"
#include "replicator/log/log.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

// Where a WAL stands, as its wal-index says after a recovery. Salts of zero and no frame: it is
// empty, or its header was never written whole.
struct WalEnd {
    uint32_t salt1 = 0;
    uint32_t salt2 = 0;
    uint32_t frame = 0;
    uint32_t checksum_a = 0;
    uint32_t checksum_b = 0;
    // There is one, and it is none: of the WAL that was begun last. (Where no WAL is, nothing is
    // known: whoever removed it may have put another database in the place of this one.)
    bool header_is_torn = false;
    // Where the WAL before it ended; absent where the extension noted nothing of this one.
    std::optional<WalMoment> after = {};
};

// Where the database stands in the history of its log.
struct OwnPlace {
    enum class Kind {
        covered,  // it has everything that the log has, or more: capture goes on
        behind,   // everything behind `from` is to be replayed
        unknown,  // its WAL says nothing that the log knows
    };
    Kind kind = Kind::covered;
    LogPoint from;
};
// Whether the database shows each page as the commit left it. Asked where the WAL does not tell.
using ShowsCommit = std::function<Result<bool>(const RecordHeader&)>;
// By where its WAL ends. Page images are whole, so replaying what the database has already does no
// harm; replaying over what the log does not know would.
Result<OwnPlace> find_own_place(Log& log, const WalEnd& wal, const ShowsCommit& shows);

// Replays what the database lacks as one commit. How many commits of the log that were; zero: it
// lacked none. `begun`: what control/waited.h has. corrupt: its place is not known. busy: somebody
// writes it.
Result<uint64_t> replay_own_tail(const SqliteApi& api, const std::string& db_path, Log& log,
                                 const std::optional<WalBegun>& begun);

}  // namespace tanist
