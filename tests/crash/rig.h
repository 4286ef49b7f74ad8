// A primary with its engine and application, and a replica with a reader, each side on a simulated
// machine of its own. A play is one run of the application in which at most one blow falls; after
// it everything is started again and judged. Plays follow each other on the same databases, so what
// one crash spoils, a later play may show.
//
// One thread; nothing here waits longer than it says.
#pragma once

#include <chrono>
#include <string>

#include "tests/crash/board.h"
#include "tests/crash/machine.h"
#include "tests/support/process/child.h"
#include "tests/support/process/dice.h"

namespace tanist::crash {

struct Programs {
    std::string tools;  // directory of crash_writer and its kin
    std::string build;  // directory of tanist.so, tanistd, tanist
};

struct Case {
    int page_bytes = 4096;
    std::string sync = "FULL";   // of the writer
    std::string mode = "async";  // or before_visible or pipelined, with durable:1
    Role victim = Role::writer;
    Blow blow = Blow::kill;
    bool newborn = false;  // the victim is a replica that begins each play empty
    bool sealed = false;   // encrypt_at_rest, of both
};
std::string to_string(const Case& the_case);

class Rig {
  public:
    Rig(const Programs& programs, const Case& the_case, const std::string& directory,
        testing::Dice& dice, Stakes& stakes);
    ~Rig();
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    // Each gives "" or the violation.
    std::string raise();
    // The blow falls at step `at` of the victim, if it comes so far: then struck() is true.
    std::string play(uint64_t at);

    bool struck() const { return struck_; }
    uint64_t steps() const { return steps_; }
    std::string struck_at() const { return struck_at_; }
    const Board& board() const { return *board_; }

  private:
    struct Daemon {
        testing::Child child;
        bool ready = false;
    };

    bool on_primary() const { return case_.victim != Role::replica; }
    Machine& victims_machine() { return on_primary() ? primary_machine_ : replica_machine_; }
    testing::ChildOptions options(Machine& machine, Role role, const std::string& log) const;
    bool may_lose_commits() const;
    std::string start_engine();
    std::string start_replica();
    std::string start_daemon(Daemon& daemon, std::vector<std::string> command,
                             const testing::ChildOptions& how);
    std::string start_missing();
    void start_reader();
    void empty_replica();
    std::vector<std::string> writer_command(bool only_finish) const;
    std::string run_writer();
    std::string stop_victim();
    std::string attend();
    std::string carry_out();
    std::string cut_power();
    std::string finish();
    std::string judge();
    std::string judge_primary();
    std::string judge_replica_log();
    std::string wait_for_replica();

    Programs programs_;
    Case case_;
    std::string directory_;
    std::string primary_;
    std::string replica_;
    testing::Dice& dice_;
    Stakes& stakes_;
    Machine primary_machine_;
    Machine replica_machine_;
    Board* board_ = nullptr;
    testing::Child writer_;
    testing::Child reader_;
    Daemon engine_;
    Daemon replica_daemon_;
    bool struck_ = false;
    bool primary_lost_power_ = false;  // in this play
    uint64_t judged_ = 0;              // attempts up to this one
    uint64_t steps_ = 0;
    std::string struck_at_;
};

}  // namespace tanist::crash
