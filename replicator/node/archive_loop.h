// The archive's thread: waits for segments of the log to be closed, runs the command, keeps the
// position in <db>-tanist/archived. The rules are in archive.h; whoever captures never waits here.
#pragma once

#include <atomic>
#include <deque>
#include <string>
#include <thread>

#include "replicator/base/event.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/control/settings.h"
#include "replicator/log/log.h"
#include "replicator/node/archive.h"

namespace tanist {

struct ArchiveLoopOptions {
    Layout layout;
    ArchiveSettings settings;  // with a command
    Epoch epoch;
    // False: nothing is archived here, and the log keeps for another engine what is to be.
    bool runs_commands = true;
};

class ArchiveLoop {
  public:
    // Reads the position. The log and the control block must outlive it.
    ArchiveLoop(ArchiveLoopOptions options, Log& log, Control& control);
    ~ArchiveLoop() { stop(); }
    void start();
    // A command that runs is ended; its segment is handed over again by the next engine.
    void stop();
    // Any thread: more of the log is durable.
    void look_again() { wake_.signal(); }
    // Any thread. See Archive.
    Lsn needs() const { return Lsn(needs_.load(std::memory_order_relaxed)); }
    bool at_rest() const { return at_rest_.load(); }

  private:
    std::optional<LogPoint> find_kept();
    void run();
    void step(const ArchiveEvent& event);
    void perform(const archive_action::Look& action);
    void perform(const archive_action::Run& action);
    void perform(const archive_action::Keep& action);
    void perform(const archive_action::Say& action);
    std::string hand_over(const ClosedSegment& segment);
    void publish(const std::string& failing);

    ArchiveLoopOptions options_;
    Log& log_;
    Control& control_;
    Archive archive_;
    std::deque<ArchiveEvent> events_;  // raised by actions
    std::atomic<uint64_t> needs_{1};
    std::atomic<bool> at_rest_{true};
    std::atomic<bool> stopping_{false};
    Event wake_;
    Event stop_;
    std::thread thread_;
};

}  // namespace tanist
