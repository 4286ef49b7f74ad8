// Runs an operator's hooks, one after the other in the order of the events, on a thread of its own:
// whoever tells of an event never waits for a command. Each is `/bin/sh -c COMMAND` in a process
// group of its own, with the facts in its environment, no input, and its output in the log.
#pragma once

#include <memory>
#include <thread>

#include "replicator/node/hook.h"
#include "replicator/node/mailbox.h"

namespace tanist {

class HookRunner {
  public:
    explicit HookRunner(HookSettings settings) : settings_(std::move(settings)) {}
    ~HookRunner() { stop(); }
    // Any one thread. Nothing happens when no command is set for the event.
    void tell(HookFacts facts);
    // Runs what was told to its end, each within its time limit.
    void stop();

  private:
    void run();
    void run_one(const HookFacts& facts);

    HookSettings settings_;
    Mailbox<HookFacts> told_;
    std::thread thread_;  // from the first event on
};

}  // namespace tanist
