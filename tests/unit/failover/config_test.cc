#include "failover/core/config.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

std::vector<NodeKey> nodes(std::initializer_list<int> numbers) {
    std::vector<NodeKey> keys;
    for (int number : numbers) keys.push_back(key_of(number));
    return keys;
}

}  // namespace

TEST_CASE("config: the profiles keep the relations between their times") {
    for (auto profile : {TimingProfile::standard, TimingProfile::lan, TimingProfile::wan}) {
        CHECK(why_invalid(timing_of(profile)) == "");
    }
}

// NOMARGIN: with clocks 10 % apart a promise as long as the lease ends before it.
TEST_CASE("config: a promise must outlive the lease on clocks that drift") {
    Timing timing = timing_of(TimingProfile::standard);
    CHECK(promise_min(timing) > 2500ms - 1ms);
    CHECK(promise_min(timing) < 2501ms);
    timing.promise = promise_min(timing) - 1ms;
    CHECK(why_invalid(timing).find("promise is too short") != std::string::npos);
    timing.promise = promise_min(timing);
    CHECK(why_invalid(timing) == "");
}

// Lists of voters come from other nodes. Four times this guard is less than nothing, and so was the
// promise that it asked for.
TEST_CASE("config: times that no clock has are refused") {
    Timing timing = timing_of(TimingProfile::standard);
    timing.guard = Nanos(INT64_MAX);
    CHECK(why_invalid(timing).find("guard") != std::string::npos);
    for (Nanos Timing::*time : {&Timing::handover_window, &Timing::drain, &Timing::degrade_after}) {
        timing = timing_of(TimingProfile::standard);
        timing.*time = -1ns;
        CHECK(why_invalid(timing).find("less than zero") != std::string::npos);
    }
}

TEST_CASE("config: a heartbeat is at most a quarter of the lease") {
    Timing timing = timing_of(TimingProfile::standard);
    timing.heartbeat = timing.lease / 4 + 1ns;
    CHECK(why_invalid(timing) != "");
}

TEST_CASE("config: k is at most the sync members beside the primary") {
    CHECK(why_invalid(config_of(3, 0, 2)) == "");
    CHECK(why_invalid(config_of(3, 0, 3)) != "");
    CHECK(why_invalid(config_of(2, 1, 2)) != "");
}

TEST_CASE("config: lossy elections are for asynchronous groups") {
    Config config = config_of(3, 0, 1);
    config.lag_max_on_failover = 1;
    CHECK(why_invalid(config) != "");
    config.sync_k = 0;
    CHECK(why_invalid(config) == "");
}

TEST_CASE("quorum: a majority is more than half of all voters, witnesses included") {
    const Config config = config_of(2, 1, 1);
    CHECK(is_majority(config, nodes({0, 2})));
    CHECK_FALSE(is_majority(config, nodes({0})));
    CHECK_FALSE(is_majority(config, nodes({0, 77, 78})));  // strangers
}

// MAJONLY: 3 data members, 2 witnesses: a majority of 3 may hold one data member only.
TEST_CASE("quorum: S11, every ack set meets every N - k data members") {
    const Config config = config_of(3, 2, 1);
    CHECK_FALSE(meets_every_ack_set(config, nodes({0, 3, 4}), 1));
    CHECK(meets_every_ack_set(config, nodes({0, 1}), 1));
    CHECK(meets_every_ack_set(config, nodes({0}), 2));
    CHECK_FALSE(meets_every_ack_set(config, nodes({0, 1}), 0));  // degraded: all three
    CHECK_FALSE(meets_every_ack_set(config, nodes({3, 4}), 2));  // never without a data member
}

TEST_CASE("quorum: S11 by counting, for all shapes up to five data members") {
    for (int data = 1; data <= 5; ++data) {
        for (uint8_t k = 0; k < data; ++k) {
            const Config config = config_of(data, 0, k);
            for (unsigned set = 0; set < 1u << data; ++set) {
                std::vector<NodeKey> granting;
                for (int i = 0; i < data; ++i) {
                    if ((set >> i & 1) != 0) granting.push_back(key_of(i));
                }
                // A record is on k + 1 members; it can hide when those who do not grant are so
                // many.
                const bool can_hide = data - static_cast<int>(granting.size()) >= k + 1;
                CHECK(meets_every_ack_set(config, granting, k) == !can_hide);
            }
        }
    }
}

TEST_CASE("quorum: M1, a joint config needs both sides") {
    Config config = config_of(3, 0, 1);
    config.leaving = config.members;
    config.members.erase(config.members.begin());  // 0 leaves
    Member added;
    added.node = key_of(5);
    config.members.push_back(added);  // 1, 2, 5
    CHECK(is_majority(config, nodes({1, 2})));
    CHECK_FALSE(is_majority(config, nodes({0, 1})));
    CHECK_FALSE(is_majority(config, nodes({2, 5})));
    CHECK(config.voters().size() == 4);
}

TEST_CASE("epoch: elections count, a forced promotion outranks all of them") {
    const Epoch seven = make_epoch({0, 0, 7});
    CHECK(next_epoch(seven) == Epoch(8));
    const std::optional<Epoch> forced = forced_epoch(seven, 0xbeef);
    REQUIRE(forced.has_value());
    CHECK(*forced > make_epoch({0, 0xffff, UINT32_MAX}));
    CHECK(parts_of(*forced) == EpochParts{1, 0xbeef, 1});
    CHECK_FALSE(next_epoch(make_epoch({0, 3, UINT32_MAX})).has_value());
    CHECK_FALSE(forced_epoch(make_epoch({UINT16_MAX, 0, 1}), 1).has_value());
}
