// The replica's apply thread: owns the database. It applies committed records from the log and, in
// a delta sync, stages and installs pages.
#pragma once

#include <atomic>
#include <thread>

#include "replicator/apply/applier.h"
#include "replicator/node/progress.h"
#include "replicator/node/replica_state.h"
#include "replicator/sync/sync_sink.h"

namespace tanist {

class ApplyLoop {
  public:
    explicit ApplyLoop(ReplicaShared& shared) : shared_(shared) {}
    ~ApplyLoop() { stop(); }
    // Opens the database if there is one and finds out where it is; `sync_reason` is not empty
    // when the log cannot carry it on.
    Status open(std::string* sync_reason);
    LogPoint applied() const;  // zero while a sync is half installed
    bool has_database() const { return has_database_.load(); }  // for other threads, too
    // When this was opened, the log ended before the database, or before what had been synced: a
    // part of it is lost.
    bool log_was_short() const { return log_was_short_; }
    void start() {
        thread_ = std::thread([this] { run(); });
    }
    // Applies what is durable and committed first. A sync that is not installed is left; after one
    // that is, its log is the log. Requires: the store thread was stopped.
    void stop();

  private:
    void run();
    void handle(apply_command::Apply& command);
    void handle(apply_command::SyncBegan& command);
    void handle(apply_command::SyncGot& command);
    void handle(apply_command::SyncComplete& command);
    void handle(apply_command::SyncAborted& command);
    void handle(apply_command::SyncLogKept& command);
    void tend();
    void apply_what_is_due();
    void ask_more();
    void try_install();
    void install_failed(const Error& error);
    void sync_failed(const Error& error);
    void end_sync();
    Status open_applier();
    std::string why_log_does_not_fit(const LogPoint& at);
    void applied_to(const LogPoint& point);

    ReplicaShared& shared_;
    std::unique_ptr<LogReader> reader_;
    IntentFile intent_;
    std::unique_ptr<Applier> applier_;
    std::atomic<bool> has_database_{false};  // an applier was opened
    std::unique_ptr<SyncSink> sink_;
    bool log_was_short_ = false;
    bool syncing_ = false;
    bool stuck_ = false;     // told the net thread that a sync is needed
    bool retry_ = false;     // the last apply failed for a reason that may pass
    bool untended_ = false;  // the last tend failed
    int asks_in_flight_ = 0;
    std::optional<SyncEnd> end_;
    std::unique_ptr<LogReader> sync_reader_;  // of the sync's log, while that is installed
    std::optional<LogPoint> installed_;       // the sync's log is not yet the log
    Progress progress_;
    std::thread thread_;
};

}  // namespace tanist
