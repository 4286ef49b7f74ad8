// Runs a command of the operator to its end, on the calling thread: `/bin/sh -c TEXT` in a process
// group of its own, with facts in its environment, no input, and no descriptor of ours.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "replicator/base/clock.h"

namespace tanist {

struct Command {
    std::string text;
    std::vector<std::string> environment;  // "NAME=value"; goes before what is inherited
    Nanos limit{0};                        // one that runs longer is ended
};

// Called while it runs.
struct CommandWatch {
    std::function<void(const std::string& line)> said;  // a line of its output, either stream
    std::function<void()> ended_by_us;                  // it is told to end
    int stop_fd = -1;                                   // readable: end it now
};

struct CommandEnd {
    std::string not_run;  // why it could not be started; "" it ran
    int code = 0;         // exit code, or 128 + signal
    bool in_time = true;  // it ended by itself
};

CommandEnd run_command(const Command& command, const CommandWatch& watch);

}  // namespace tanist
