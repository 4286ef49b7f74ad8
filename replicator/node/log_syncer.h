// Waits for the disk in the place of the thread that appends to a log: Log::begin_sync() there,
// LogSync::run() here, Log::end_sync() there again.
#pragma once

#include <optional>
#include <thread>

#include "replicator/log/log.h"
#include "replicator/node/mailbox.h"

namespace tanist {

class LogSyncer {
  public:
    LogSyncer() : thread_([this] { run(); }) {}
    ~LogSyncer();  // finishes what was put
    LogSyncer(const LogSyncer&) = delete;
    LogSyncer& operator=(const LogSyncer&) = delete;

    struct Done {
        LogSync task;
        Status outcome = ok_status();
    };
    void put(LogSync task) { tasks_.put(std::move(task)); }
    std::optional<Done> take();  // does not wait

  private:
    void run();

    Mailbox<LogSync> tasks_;
    Mailbox<Done> done_;
    std::thread thread_;
};

}  // namespace tanist
