// One simulated machine: a directory with files, the processes that were started with its
// environment, and a power switch.
//
// The caller starts and reaps the processes; one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/crash/disk.h"
#include "tests/crash/journal.h"

namespace tanist::crash {

struct Strike {
    Role victim = Role::none;
    Blow blow = Blow::none;
    uint32_t classes = 0;  // of Step
    uint64_t at = 0;       // the step, from 1
};

class Machine {
  public:
    // `root`: its files. `directory`: for the journal; made here. `layer`: crash_layer.so.
    Machine(std::string root, std::string directory, std::string layer);
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    // What is below the root is on the platter. With `keeps_journal` the power can be cut.
    void boot(bool keeps_journal);
    std::vector<std::string> environment(Role role) const;

    void arm(const Strike& strike);
    void disarm() { memory_->strike_at.store(0); }
    bool struck() const { return memory_->struck.load() != 0; }
    uint64_t steps() const { return memory_->steps.load(); }
    std::string struck_at() const { return memory_->struck_at; }

    // Does it while no process is within an entry of the journal: who is killed there has done what
    // the journal does not say, and the disk that is made of it would have what the files have not.
    void between_entries(const std::function<void()>& action);
    // Keeps the journal short; the processes may live. "" or what went wrong.
    std::string take_journal();
    // The power is gone and comes again, with a new boot id. Requires: no process lives.
    std::string lose_power(testing::Dice& dice, Stakes& stakes);

  private:
    void lock();

    std::string root_;
    std::string directory_;
    std::string layer_;
    MachineMemory* memory_ = nullptr;
    int journal_ = -1;
    Disk disk_;
    uint64_t boots_ = 0;
    bool keeps_journal_ = false;
};

}  // namespace tanist::crash
