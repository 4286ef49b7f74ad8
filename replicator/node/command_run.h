// One run of a command of the operator, a hook or the archive's: what becomes of its output, and
// how it is ended when it takes too long or is not wanted any more. Pure; run_command.h starts the
// process and asks the clock.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "replicator/base/clock.h"

namespace tanist {

namespace command_event {
struct Output {
    std::string_view bytes;
};
struct Ended {
    int code = 0;  // exit code, or 128 + signal
};
struct Tick {};
struct Stop {};  // whoever runs it cannot wait any longer
}  // namespace command_event
using CommandEvent = std::variant<command_event::Output, command_event::Ended, command_event::Tick,
                                  command_event::Stop>;

struct CommandAction {
    enum class Kind {
        say,        // `line` of its output
        terminate,  // SIGTERM, to all of its processes
        kill,       // SIGKILL
        finished,   // stop reading; nothing follows
    };
    Kind kind = Kind::say;
    std::string line = {};
    int code = 0;         // finished
    bool in_time = true;  // finished: by itself, before its limit
};

// One run of a command:
//   running --time limit, Stop--> terminated --grace--> killed; any --Ended--> finished
class CommandRun {
  public:
    CommandRun(Nanos limit, Instant now) : deadline_(now + limit) {}
    std::vector<CommandAction> step(const CommandEvent& event, Instant now);
    // When a Tick is due.
    Instant deadline() const { return deadline_; }

  private:
    enum class Phase { running, terminated, killed, finished };
    void take(std::string_view bytes, std::vector<CommandAction>& out);
    void say(std::string line, std::vector<CommandAction>& out);

    Phase phase_ = Phase::running;
    Instant deadline_;
    std::string partial_;  // of a line; never longer than a line may be
    int lines_ = 0;
};
constexpr size_t kCommandLineBytesMax = 400;
constexpr int kCommandLinesMax = 100;  // of one run
constexpr Nanos kCommandGrace = std::chrono::seconds(1);

}  // namespace tanist
