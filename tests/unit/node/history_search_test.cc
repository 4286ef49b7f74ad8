#include "replicator/node/history_search.h"

#include <doctest/doctest.h>

using namespace tanist;

namespace {

// A log of `count` records; from `forked` on (1: from the first) they are another history's.
struct Records {
    uint64_t count = 0;
    uint64_t forked = UINT64_MAX;

    LogPoint at(uint64_t lsn) const {
        LogPoint point{{Epoch(lsn >= forked ? 7 : 1), Lsn(lsn)}, {}};
        if (lsn == 0) return {};
        point.chain.bytes[0] = static_cast<uint8_t>(lsn);
        point.chain.bytes[1] = lsn >= forked ? 1 : 0;
        return point;
    }
    History answer(Lsn asked, uint64_t first = 1) const {
        History history;
        history.asked = asked;
        history.known = asked.value >= first && asked.value <= count;
        if (!history.known) return history;
        history.position = at(asked.value).position;
        history.chain = at(asked.value).chain;
        return history;
    }
};

struct Searched {
    LogPoint common;
    bool proved = false;
    bool nothing_diverged = false;
    int questions = 0;
};

Searched search(const Records& ours, const Records& theirs, uint64_t our_base = 0,
                uint64_t their_first = 1) {
    HistorySearch search(ours.at(our_base), ours.at(ours.count));
    Searched result;
    while (auto asked = search.next()) {
        ++result.questions;
        REQUIRE(result.questions < 100);
        search.answer(theirs.answer(*asked, their_first), ours.at(asked->value));
    }
    result.common = search.common();
    result.proved = search.proved();
    result.nothing_diverged = search.nothing_diverged();
    return result;
}

}  // namespace

TEST_CASE("history_search: one question when nothing diverged") {
    const Searched found = search({100}, {.count = 200, .forked = 101});
    CHECK(found.nothing_diverged);
    CHECK(found.proved);
    CHECK(found.questions == 1);
}

TEST_CASE("history_search: finds the last common record wherever the histories part") {
    for (uint64_t forked = 1; forked <= 100; ++forked) {
        CAPTURE(forked);
        const Searched found = search({100}, {.count = 120, .forked = forked});
        CHECK(found.common.position.lsn == Lsn(forked - 1));
        CHECK(found.proved);
        CHECK_FALSE(found.nothing_diverged);
        CHECK(found.questions <= 9);
    }
}

TEST_CASE("history_search: a primary whose log is shorter has a part of ours") {
    const Searched found = search({100}, {.count = 40});
    CHECK(found.common.position.lsn == Lsn(40));
    CHECK_FALSE(found.nothing_diverged);
}

// What the primary has forgotten counts as diverged: saved too often is better than lost.
TEST_CASE("history_search: a primary that has forgotten everything proves nothing") {
    const Searched found = search({100}, {.count = 500, .forked = 101}, 10, 300);
    CHECK(found.common.position.lsn == Lsn(10));
    CHECK_FALSE(found.proved);
    CHECK_FALSE(found.nothing_diverged);
}

TEST_CASE("history_search: an answer to another question changes nothing") {
    Records ours{100};
    HistorySearch search(ours.at(0), ours.at(100));
    search.answer(ours.answer(Lsn(7)), ours.at(7));
    CHECK(search.next() == Lsn(100));
}
