// Delta sync, the replica's side: asks for page ranges with the hashes of what it has, stages what
// comes, and installs it together with the log as one step that readers see whole.
//
// Staging is <db>-tanist/base/: `pages` (sparse, each page at its own offset) and `have` (a bit per
// page). It survives a break: the next sync compares staged pages by hash like any others, so only
// what is missing or changed travels again. With no database yet, `pages` becomes the database by
// rename, after replaying the log into it; otherwise the staged pages and the records after the
// base are one WAL transaction of the replica.
#pragma once

#include <memory>
#include <string>

#include "replicator/apply/applier.h"
#include "replicator/wire/message.h"

namespace tanist {

struct SyncProgress {
    uint64_t bytes_done = 0;  // of the database, compared or received
    uint64_t bytes_total = 0;
    uint64_t bytes_received = 0;
};

class SyncSink {
  public:
    static Result<std::unique_ptr<SyncSink>> open(const SqliteApi& api, const std::string& db_path,
                                                  const std::string& staging_directory);
    ~SyncSink();
    // A sync begins. `current` reads the present database, null when there is none.
    Status begin(const SyncBegin& begin, SqliteHandle* current);
    // The next range to ask for, with hashes; nothing when all ranges have been asked for.
    Result<std::optional<SyncAsk>> next_ask();
    Status got(const SyncPages& pages);
    bool complete() const;  // every ask was answered
    // Makes the database consistent at the log's record `up_to` (>= the SyncEnd's position) and
    // writes the intent. `applier` is null when there is no database yet; open one afterwards.
    Result<LogPoint> install(LogReader& log, Lsn up_to, IntentFile& intent, Applier* applier);
    SyncProgress progress() const;

  private:
    struct State;
    explicit SyncSink(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
