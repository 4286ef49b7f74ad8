// Hooks: commands of the operator that are told of changes of role. What they are told, and how
// long one may run. Pure; hook_runner.h starts processes and asks the clock.
//
// A hook only hears of what has happened: it can neither veto a change of role nor hold one up.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/base/ids.h"
#include "replicator/control/settings.h"

namespace tanist {

enum class HookEvent {
    promote,  // this node takes writes now
    demote,   // it is a replica now, and follows another
    fence,    // it was the primary and refuses writes: an operator's order, or it was superseded
};
const char* to_string(HookEvent event);

struct HookFacts {
    HookEvent event = HookEvent::fence;
    std::string database;
    Epoch epoch;                // of this node after the change
    Position position;          // end of its log
    std::string endpoint;       // where this node listens; "" nowhere
    std::string primary;        // where the primary listens, or its name; "" not known
    std::string reason;         // one word: operator, switchover, superseded, ...
    uint64_t lost_commits = 0;  // promote: so many at least are known to be lost
};

// The command for an event; "" when there is none.
const std::string& command_of(const HookSettings& settings, HookEvent event);
// "NAME=value" for each fact; docs/operations.md lists the names.
std::vector<std::string> environment_of(const HookFacts& facts);

namespace hook_event {
struct Output {
    std::string_view bytes;
};
struct Ended {
    int code = 0;  // exit code, or 128 + signal
};
struct Tick {};
}  // namespace hook_event
using HookRunEvent = std::variant<hook_event::Output, hook_event::Ended, hook_event::Tick>;

struct HookAction {
    enum class Kind {
        say,        // `line` of its output
        terminate,  // SIGTERM, to all of its processes
        kill,       // SIGKILL
        finished,   // stop reading; nothing follows
    };
    Kind kind = Kind::say;
    std::string line = {};
    int code = 0;         // finished
    bool in_time = true;  // finished: before its limit
};

// One run of a command:
//   running --time limit--> terminated --grace--> killed; any --Ended--> finished
class HookRun {
  public:
    HookRun(Nanos limit, Instant now) : deadline_(now + limit) {}
    std::vector<HookAction> step(const HookRunEvent& event, Instant now);
    // When a Tick is due.
    Instant deadline() const { return deadline_; }

  private:
    enum class Phase { running, terminated, killed, finished };
    void take(std::string_view bytes, std::vector<HookAction>& out);
    void say(std::string line, std::vector<HookAction>& out);

    Phase phase_ = Phase::running;
    Instant deadline_;
    std::string partial_;  // of a line; never longer than a line may be
    int lines_ = 0;
};
constexpr size_t kHookLineBytesMax = 400;
constexpr int kHookLinesMax = 100;  // of one run
constexpr Nanos kHookGrace = std::chrono::seconds(1);

}  // namespace tanist
