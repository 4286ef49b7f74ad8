#include "replicator/ship/rearm.h"

#include <doctest/doctest.h>

using namespace tanist;
using namespace std::chrono_literals;

namespace {

struct Clock {
    Rearm rearm;
    Instant now{1'000'000'000};
    bool step(uint64_t confirmed, uint64_t end, Nanos after = 10ms) {
        now = now + after;
        return rearm.step(Lsn(confirmed), Lsn(end), now);
    }
};

}  // namespace

TEST_CASE("rearm: replicas that hold the end of the log are waited for again") {
    Clock clock;
    CHECK_FALSE(clock.step(3, 10));
    CHECK_FALSE(clock.step(9, 10));
    CHECK(clock.step(10, 10));
}

TEST_CASE("rearm: the end of a moment ago is enough when the log grows all the time") {
    Clock clock;
    CHECK_FALSE(clock.step(3, 10));
    CHECK(clock.step(10, 25));
}

// What they reach only after a while they do not keep up with.
TEST_CASE("rearm: replicas that are far behind and catch up slowly are not") {
    Clock clock;
    CHECK_FALSE(clock.step(3, 1000));
    CHECK_FALSE(clock.step(1000, 2000, 10s));
    CHECK_FALSE(clock.step(1500, 2100));
    CHECK(clock.step(2000, 2200, 100ms));
}
