// The processes of one round: starts them, kills them, restarts them, notices when one ends by
// itself. One thread; nothing here waits longer than it says.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/process/chaos/board.h"
#include "tests/process/chaos/plan.h"
#include "tests/support/process/child.h"
#include "tests/support/process/database.h"

namespace tanist::chaos {

struct Programs {
    std::string tools;       // directory of chaos_writer and its kin
    std::string build;       // directory of tanist.so, tanistd, tanist
    bool self_test = false;  // without Tanist: the replica is the primary itself
};

// What killed whom how often, over the whole run.
using Tally = std::map<std::string, uint64_t>;

class Stage {
  public:
    using Clock = std::chrono::steady_clock;

    // `dice` and `tally` outlive this.
    Stage(const Programs& programs, const Plan& plan, const std::string& directory,
          testing::Dice& dice, Tally& tally);
    ~Stage();

    // Database, replica daemon, readers, writers. "" or what went wrong.
    std::string raise();
    void start_writers();
    // Kills one process at random; whoever is due is started again.
    void strike();
    // Starts whoever is due. "" or the violation of the first process that ended by itself.
    std::string attend();
    // No writer and no checkpointer runs afterwards; engine and replica do.
    std::string quiet();
    // One last commit through the extension, with `token`.
    std::string finish(const std::string& token);
    // Stops replica and engine as an operator would; both must end well.
    std::string lower();

    const std::string& primary() const { return primary_; }
    const std::string& replica() const { return replica_; }
    const Board& board() const { return *board_; }
    std::string tool(const std::string& name) const { return programs_.tools + "/" + name; }
    // "" or the gap that need not have been.
    std::string note_totals();
    // What `tanist status` says of both, for the report of a failure.
    std::string status() const;

  private:
    struct Actor {
        std::string kind;
        std::vector<std::string> command;
        testing::ChildOptions options;
        testing::Child child;
        std::optional<Clock::time_point> due;  // to be started then; nothing: on stage or off
        bool off = false;                      // stays away
    };

    Actor& cast(const std::string& kind, std::vector<std::string> command);
    void start(Actor& actor);
    std::string start_replica();
    void kill(Actor& actor);
    bool strike_engine(bool freeze);
    void retire(const std::string& kind);
    std::vector<std::string> writer_command(size_t index);
    std::string why_ended(const Actor& actor, int status);
    pid_t engine_pid() const;
    std::string note_reasons();
    std::string find_leftover() const;
    std::string wait_for_engine(bool gone, std::chrono::seconds patience);

    Programs programs_;
    Plan plan_;
    std::string directory_;
    std::string primary_;
    std::string replica_;
    std::string endpoint_;
    testing::Dice& dice_;
    Tally& tally_;
    Board* board_ = nullptr;
    testing::Database keeper_;
    std::vector<std::unique_ptr<Actor>> actors_;
    Actor* replica_actor_ = nullptr;
};

}  // namespace tanist::chaos
