#include "replicator/ship/lag.h"

#include <doctest/doctest.h>

using namespace tanist;

namespace {

Instant at(int64_t seconds) { return Instant{seconds * 1'000'000'000}; }
Nanos seconds(int64_t count) { return std::chrono::seconds(count); }

}  // namespace

TEST_CASE("lag: counts the bytes and the age of what is not applied") {
    LagHistory history;
    history.note(Lsn(10), 1000, at(1));
    history.note(Lsn(20), 5000, at(2));
    history.note(Lsn(30), 6000, at(4));
    CHECK(history.lag_bytes(Lsn(10)) == 5000);
    CHECK(history.lag(Lsn(10), at(5)) == seconds(3));
    // Between two samples: since the log first held the next commit.
    CHECK(history.lag_bytes(Lsn(15)) == 5000);
    CHECK(history.lag(Lsn(25), at(5)) == seconds(1));
}

TEST_CASE("lag: there is none at the end, however long ago that was reached") {
    LagHistory history;
    CHECK(history.lag(Lsn(0), at(9)) == seconds(0));
    history.note(Lsn(10), 1000, at(1));
    history.note(Lsn(10), 1000, at(7));
    CHECK(history.lag_bytes(Lsn(10)) == 0);
    CHECK(history.lag(Lsn(10), at(9)) == seconds(0));
    CHECK(history.lag(Lsn(9), at(9)) == seconds(8));
}

TEST_CASE("lag: what came last is exact after any number of commits") {
    LagHistory history;
    for (uint64_t i = 1; i <= 2'000; ++i) {
        const Instant now = at(static_cast<int64_t>(i));
        history.note(Lsn(i), i * 100, now);
        if (i <= 10) continue;
        CHECK(history.lag_bytes(Lsn(i - 10)) == 1000);
        CHECK(history.lag(Lsn(i - 10), now) == seconds(9));
    }
}

TEST_CASE("lag: a log that begins anew takes its history with it") {
    LagHistory history;
    history.note(Lsn(100), 9000, at(1));
    history.note(Lsn(5), 50, at(2));
    history.note(Lsn(6), 80, at(3));
    CHECK(history.lag_bytes(Lsn(4)) == 30);
    CHECK(history.lag(Lsn(4), at(4)) == seconds(2));
}
