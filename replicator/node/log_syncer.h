// Waits for the disk in the place of the thread that appends to a log: Log::begin_sync() there,
// LogSync::run() here, Log::end_sync() there again.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <thread>

#include "replicator/log/log.h"
#include "replicator/node/mailbox.h"

namespace tanist {

class LogSyncer {
  public:
    // Both are called on the syncer's thread: `durable` when records up to an LSN are on the disk,
    // which somebody may wait for; `again` after a sync during which ask_again() was called.
    LogSyncer(std::function<void(Lsn)> durable, std::function<void()> again)
        : durable_(std::move(durable)), again_(std::move(again)), thread_([this] { run(); }) {}
    ~LogSyncer();  // finishes what was put
    LogSyncer(const LogSyncer&) = delete;
    LogSyncer& operator=(const LogSyncer&) = delete;

    struct Done {
        LogSync task;
        Status outcome = ok_status();
        Nanos took{0};
    };
    void put(LogSync task) { tasks_.put(std::move(task)); }
    std::optional<Done> take();  // does not wait
    // For who finds that one is under way: calls take() once more afterwards.
    void ask_again() { asked_again_.store(true, std::memory_order_seq_cst); }

  private:
    void run();

    std::function<void(Lsn)> durable_;
    std::function<void()> again_;
    std::atomic<bool> asked_again_{false};
    Mailbox<LogSync> tasks_;
    Mailbox<Done> done_;
    std::thread thread_;
};

}  // namespace tanist
