// The thread that reads pages for delta syncs, so that commits are never held up by them. It takes
// asks, reads and compares pages, and hands encoded sync_pages messages back; the ship thread,
// which owns the sockets, sends them. What waits to be sent is bounded.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "replicator/log/log.h"
#include "replicator/node/mailbox.h"
#include "replicator/sync/page_source.h"
#include "replicator/wire/message.h"

namespace tanist {

// A sync of one peer; a new number for each.
using SyncJob = uint64_t;

// Without `ask`: a sync begins at `base`; answered with what `begin` says of the database.
struct SyncWorkerAsk {
    SyncJob job = 0;
    Envelope envelope;  // session and epoch of the answers
    std::optional<SyncAsk> ask;
    LogPoint base;
};

struct SyncWorkerAnswer {
    SyncJob job = 0;
    Bytes envelope;  // of a sync_pages message; empty when the job failed
    Bytes body;
    std::string failure;
    std::optional<SyncBegin> begin;
};

class SyncWorker {
  public:
    SyncWorker(const SqliteApi& api, std::string db_path);
    ~SyncWorker();
    void ask(SyncWorkerAsk ask) { asks_.put(std::move(ask)); }
    // Answers of this job are not wanted any more.
    void cancel(SyncJob job);
    std::deque<SyncWorkerAnswer> take();
    int fd() const { return answers_.fd(); }

  private:
    void run();
    Status open_source();
    void serve(const SyncWorkerAsk& ask);
    void fail(SyncJob job, const Error& error);
    void begin(const SyncWorkerAsk& ask);
    bool offer(SyncWorkerAnswer answer);  // waits for room; false when cancelled or stopping
    bool wanted(SyncJob job) const;

    const SqliteApi& api_;
    std::string db_path_;
    Mailbox<SyncWorkerAsk> asks_;
    Mailbox<SyncWorkerAnswer> answers_;
    std::unique_ptr<SyncPageSource> source_;  // open while there is work
    mutable std::mutex mutex_;                // guards waiting_bytes_, cancelled_through_
    std::condition_variable room_;
    uint64_t waiting_bytes_ = 0;
    std::map<SyncJob, bool> cancelled_;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace tanist
