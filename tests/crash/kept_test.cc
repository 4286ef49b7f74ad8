// What a process reads when it starts may be in memory only, left there by one that was killed
// before it synced. From then on it is relied on, so a power cut must not take it back.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include "tests/crash/machine.h"
#include "tests/support/process/child.h"
#include "tests/support/temp_dir.h"

namespace tanist::crash {
namespace {

struct Keeper {
    std::string file;
    TempDir dir;
    std::string root = dir.path("root");
    Machine machine{root, dir.path("machine"), TANIST_CRASH_DIR "/crash_layer.so"};
    Stakes stakes;

    explicit Keeper(std::string name) : file(std::move(name)) { machine.boot(true); }
    int keep(int n) {
        testing::ChildOptions how;
        how.environment = machine.environment(Role::writer);
        return testing::run({TANIST_CRASH_DIR "/crash_keeper", file, root, std::to_string(n)}, how);
    }
    int read() { return keep(0); }
    // False: there are not so many steps.
    bool is_killed_while_it_keeps(int n, uint64_t at_step) {
        machine.arm({Role::writer, Blow::kill, kStepFile, at_step});
        const int ended = keep(n);
        machine.disarm();
        return ended == 128 + SIGKILL;
    }
    void cut_power(uint64_t seed) {
        testing::Dice dice(seed);
        REQUIRE(machine.lose_power(dice, stakes) == "");
    }
};

void check_that_what_was_read_stays(const char* file, int before) {
    uint64_t steps = 1;
    for (bool killed = true; killed; ++steps) {
        for (uint64_t seed = 0; seed < 12; ++seed) {
            Keeper keeper(file);
            if (before != 0) REQUIRE(keeper.keep(before) == before);
            killed = keeper.is_killed_while_it_keeps(8, steps);
            const int read = keeper.read();
            CHECK_MESSAGE((read == before || read == 8), file, " had ", before, ", killed at ",
                          steps, ", read ", read);
            keeper.cut_power(seed);
            CHECK_MESSAGE(keeper.read() == read, "killed at step ", steps, ", seed ", seed);
        }
    }
    CHECK(steps > 3);
}

}  // namespace

TEST_CASE("kept: what a replica has read of its position is not lost to a power cut") {
    check_that_what_was_read_stays("intent", 0);
    check_that_what_was_read_stays("intent", 7);
}

TEST_CASE("kept: what a voter has read of its promises is not lost to a power cut") {
    check_that_what_was_read_stays("ballot", 0);
    check_that_what_was_read_stays("ballot", 7);
}

}  // namespace tanist::crash
