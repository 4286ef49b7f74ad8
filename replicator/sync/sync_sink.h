// Delta sync, the replica's side: asks for page ranges with the hashes of what it has, stages what
// comes, and installs it together with the log as one step that readers see whole.
//
// Staging is <db>-tanist/base/ (sync/staging.h). It survives a break: the next sync compares staged
// pages by hash like any others, so only what is missing or changed travels again.
//
// Why the result is consistent: each page that we end with is an image of some moment between the
// sync's base and its end (equal by hash at the ask, or sent). Every page that changed after the
// base is in the log's records after the base, as a whole image; we lay the last of these over the
// copy, so each page is the one of record `up_to`, whatever the copy had.
//
// An existing database gets the staged pages and the records as one WAL transaction: readers see
// the old state or the new one. Without one, or when its page size differs (which no WAL
// transaction can change), what is staged becomes the database; connections that had the old file
// open keep its last state until they reopen.
//
// One thread. Memory: a bit per page, an ask's pages, the places of the pages in the records.
#pragma once

#include <memory>
#include <string>

#include "replicator/apply/applier.h"
#include "replicator/sync/staged_form.h"
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
                                                  const std::string& staging_directory,
                                                  StagedForm form);
    ~SyncSink();
    // A sync begins. `current` reads the present database and must outlive the sync; null when no
    // applier has it open. A database that is there all the same (an old copy) is then compared and
    // brought up to date like any other; when it cannot be opened, it is replaced.
    Status begin(const SyncBegin& begin, SqliteHandle* current);
    // The next range to ask for, with hashes; nothing when all ranges have been asked for.
    Result<std::optional<SyncAsk>> next_ask();
    Status got(const SyncPages& pages);
    bool complete() const;  // every ask was answered
    // Makes the database consistent at the log's record `up_to` (>= the SyncEnd's position) and
    // writes the intent. busy, no_space: try again. While the intent does not say syncing, the
    // database is what it was. `applier` is the owner of begin's `current`, null when that was
    // null; open one afterwards. refused: the primary's database moved again (REBASE); sync anew.
    Result<LogPoint> install(LogReader& log, Lsn up_to, IntentFile& intent, Applier* applier);
    // Finishes what a crash cut short after its plan was written (sync/install_plan.h), whatever of
    // it was done. `log` holds the sync's records, as for install(). corrupt: it cannot be
    // finished.
    static Result<LogPoint> finish_install(const SqliteApi& api, const std::string& db_path,
                                           const std::string& staging_directory, StagedForm form,
                                           LogReader& log, IntentFile& intent);
    // After install: the database is another file, so a handle on the old one must be closed.
    bool replaced_database() const;
    SyncProgress progress() const;

  private:
    struct State;
    explicit SyncSink(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
