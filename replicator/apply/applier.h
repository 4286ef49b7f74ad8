// Takes committed records from the log into the replica's database, several merged into one local
// commit when behind. Runs on its own thread; never sees the network.
//
// The log is durable before apply() is called, so the database's own WAL is not fsynced per commit:
// tend() does it now and then and moves durable(), from which on the log must keep its records.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "replicator/apply/intent.h"
#include "replicator/apply/wal_writer.h"
#include "replicator/log/log.h"

namespace tanist {

struct ApplyOutcome {
    LogPoint applied;         // where the database is now
    bool needs_sync = false;  // the log alone does not lead on; sync_reason says why
    std::string sync_reason;
};

class Applier {
  public:
    // Opens the database (WAL mode) and replays what an interrupted commit left. not_found: no
    // database, or the intent was never written: the first sync makes both. When the log cannot
    // complete the interrupted commit, open succeeds and apply() says needs_sync.
    static Result<std::unique_ptr<Applier>> open(const SqliteApi& api, const std::string& db_path,
                                                 IntentFile& intent, LogReader& log);
    ~Applier();
    // Applies (applied, up_to], in one or more local commits of about kMergedBytesMax of payload
    // each (a single record may be larger), with passive checkpoints between them. needs_sync:
    // before a REBASE record, a page size change, a record that is gone, or one that does not
    // continue this database's history.
    Result<ApplyOutcome> apply(LogReader& log, Lsn up_to);
    // After a power cut: the log's last record, where it is a commit of which only the primary
    // knows the outcome. The replay waits for apply() up to there, because the database may be at
    // it.
    std::optional<RecordHeader> waits_for() const;
    // The database is not at waits_for(): replays everything before it.
    Status replay_without_last(LogReader& log);
    // Makes a delta sync's pages one local commit that takes the database to `point`; see
    // sync/sync_sink.h. busy: the database is what it was. After another error the intent says
    // syncing, and only the same install, or another sync, leads on.
    Status install(PageSource& pages, const LogPoint& point);
    LogPoint applied() const;
    // Known to survive the machine's end; the log keeps its records from here on.
    LogPoint durable() const;
    SqliteHandle& handle();
    SqliteHandle& checkpoints();
    // Passive checkpoints; fsync of the database and the durable point. When idle (every second or
    // so) and after applying.
    Status tend();
    // tend() with the fsync now, for an orderly stop.
    Status settle();

  private:
    struct State;
    explicit Applier(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
