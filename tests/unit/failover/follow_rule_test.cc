#include "failover/core/follow_rule.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

// The log ends at 1:3.
struct FollowFixture : LogIndex {
    std::vector<LogPoint> points = {point(1, 1), point(1, 2), point(1, 3)};
    Lsn committed{1};
    LogPoint end() const override { return points.back(); }
    std::optional<LogPoint> at(Lsn lsn) const override {
        if (lsn.value == 0) return LogPoint{};
        if (lsn.value > points.size()) return std::nullopt;
        return points[lsn.value - 1];
    }
    FollowDecision take(const LogPoint& previous, std::vector<LogPoint> records) const {
        return follow(previous, records, *this, committed);
    }
    using Kind = FollowDecision::Kind;
};

}  // namespace

TEST_CASE_FIXTURE(FollowFixture, "follow: A2, records that continue the log are taken") {
    const FollowDecision decision = take(point(1, 3), {point(2, 4), point(2, 5)});
    CHECK(decision.kind == Kind::take);
    CHECK(decision.skip == 0);
    CHECK_FALSE(decision.keep.has_value());
    CHECK(decision.matched == Lsn(5));
}

TEST_CASE_FIXTURE(FollowFixture, "follow: what is here already is skipped") {
    const FollowDecision decision = take(point(1, 1), {point(1, 2), point(1, 3), point(2, 4)});
    CHECK(decision.skip == 2);
    CHECK(decision.matched == Lsn(4));
}

TEST_CASE_FIXTURE(FollowFixture, "follow: a gap is asked for") {
    const FollowDecision decision = take(point(1, 5), {point(1, 6)});
    CHECK(decision.kind == Kind::gap);
    CHECK(decision.ask_after == Lsn(3));
}

TEST_CASE_FIXTURE(FollowFixture, "follow: where histories differ, ask from the watermark on") {
    const FollowDecision decision = take(point(2, 3), {point(2, 4)});
    CHECK(decision.kind == Kind::conflict);
    CHECK(decision.ask_after == committed);
}

TEST_CASE_FIXTURE(FollowFixture, "follow: A2, a conflicting tail is cut behind the agreement") {
    const FollowDecision decision = take(point(1, 1), {point(2, 2), point(2, 3), point(2, 4)});
    CHECK(decision.kind == Kind::take);
    CHECK(decision.keep == Lsn(1));
    CHECK(decision.skip == 0);
}

TEST_CASE_FIXTURE(FollowFixture, "follow: S8, a committed record is never cut") {
    committed = Lsn(2);
    CHECK(take(point(1, 1), {point(2, 2)}).kind == Kind::unsafe);
    CHECK(take(point(2, 2), {point(2, 3)}).kind == Kind::unsafe);
    committed = Lsn(1);
    CHECK(take(point(1, 1), {point(2, 2)}).kind == Kind::take);
}

TEST_CASE("follow: a watermark binds unless a later loss was accepted") {
    CHECK(binding({Epoch(3), Lsn(9)}, Epoch(0)) == Lsn(9));
    CHECK(binding({Epoch(3), Lsn(9)}, Epoch(3)) == Lsn(9));
    CHECK(binding({Epoch(3), Lsn(9)}, Epoch(4)) == Lsn(0));
}

TEST_CASE_FIXTURE(FollowFixture, "follow: no records is a question about the point before them") {
    CHECK(take(point(1, 2), {}).matched == Lsn(2));
    CHECK(take({}, {}).matched == Lsn(0));
}
