#include "replicator/node/log_syncer.h"

namespace tanist {

LogSyncer::~LogSyncer() {
    tasks_.close();
    thread_.join();
}

std::optional<LogSyncer::Done> LogSyncer::take() {
    std::deque<Done> done = done_.take();
    if (done.empty()) return std::nullopt;
    // One is under way at a time.
    return std::move(done.front());
}

void LogSyncer::run() {
    using namespace std::chrono_literals;
    while (true) {
        std::deque<LogSync> tasks = tasks_.wait(1h);
        for (LogSync& task : tasks) {
            const Instant begun = boot_now();
            Status outcome = task.run();
            const Nanos took = boot_now() - begun;
            if (outcome.ok()) durable_(task.through());
            done_.put({std::move(task), std::move(outcome), took});
            if (asked_again_.exchange(false, std::memory_order_seq_cst)) again_();
        }
        if (tasks.empty() && tasks_.closed()) return;
    }
}

}  // namespace tanist
