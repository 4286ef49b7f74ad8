#include "replicator/node/hook_runner.h"

#include "replicator/base/notes.h"
#include "replicator/node/run_command.h"

namespace tanist {

using namespace std::chrono_literals;

void HookRunner::tell(HookFacts facts) {
    if (command_of(settings_, facts.event).empty()) return;
    told_.put(std::move(facts));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void HookRunner::stop() {
    told_.close();
    if (thread_.joinable()) thread_.join();
}

void HookRunner::run() {
    while (true) {
        // Before the queue: what was told before the close is run.
        const bool closed = told_.closed();
        const auto facts = told_.wait(1s);
        for (const HookFacts& one : facts) run_one(one);
        if (facts.empty() && closed) return;
    }
}

void HookRunner::run_one(const HookFacts& facts) {
    const std::string name = std::string("on_") + to_string(facts.event);
    const CommandWatch watch = {
        .said =
            [&](const std::string& line) {
                note(NoteLevel::info, "hook says", {{"hook", name}, {"line", line}});
            },
        .ended_by_us =
            [&] {
                note(NoteLevel::warning, "hook takes too long and is ended", {{"hook", name}});
            }};
    const CommandEnd end = run_command(
        {command_of(settings_, facts.event), environment_of(facts), settings_.timeout}, watch);
    if (!end.not_run.empty()) {
        note(NoteLevel::error, "hook not run", {{"hook", name}, {"reason", end.not_run}});
        return;
    }
    note(end.code == 0 && end.in_time ? NoteLevel::info : NoteLevel::warning, "hook ended",
         {{"hook", name}, {"exit_code", std::to_string(end.code)}});
}

}  // namespace tanist
