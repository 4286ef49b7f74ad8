// Takes committed records from the log into the replica's database, several merged into one local
// commit when behind. Runs on its own thread; never sees the network.
#pragma once

#include <memory>
#include <string>

#include "replicator/apply/intent.h"
#include "replicator/apply/wal_writer.h"
#include "replicator/log/log.h"

namespace tanist {

struct ApplyOutcome {
    LogPoint applied;         // where the database is now
    bool needs_sync = false;  // stopped before a REBASE record, or a page size change
    std::string sync_reason;
};

class Applier {
  public:
    // Creates or opens the database with WAL mode when `intent` says there is one; replays what an
    // interrupted commit left. `db_path` does not exist before the first sync.
    static Result<std::unique_ptr<Applier>> open(const SqliteApi& api, const std::string& db_path,
                                                 IntentFile& intent, LogReader& log);
    ~Applier();
    // Applies (applied, up_to], in one or more local commits of at most `pages_max` distinct pages
    // each (a single record may be larger).
    Result<ApplyOutcome> apply(LogReader& log, Lsn up_to);
    LogPoint applied() const;
    // A delta sync's pages and the records (base, up_to] as one local commit: see sync/sync_sink.h.
    SqliteHandle& handle();
    SqliteHandle& checkpoints();
    Status tend();  // passive checkpoints, read mark refresh; when idle and after applying

  private:
    struct State;
    explicit Applier(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
