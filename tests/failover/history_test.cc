// Does the judge of the failover tests notice what it is there for?
#include "tests/failover/history.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace tanist::torture;

namespace {

// Clients a and b append to list 0; times are in order of the calls.
struct Story {
    History history;
    Final end;
    Promise promise{.sum = 100, .acknowledged_survives = true, .one_holder = true};
    int64_t clock = 0;

    Story() { end.sum = 100; }
    Operation& begins(const std::string& client, uint64_t value, uint64_t epoch) {
        Operation op;
        op.client = client;
        op.value = value;
        op.epoch = epoch;
        op.began_ns = ++clock;
        op.ended_ns = INT64_MAX;
        op.sum = 100;
        op.tail = end.lists[0];
        history.push_back(op);
        return history.back();
    }
    // Acknowledged, and in the final list.
    void commits(const std::string& client, uint64_t value, uint64_t epoch) {
        Operation& op = begins(client, value, epoch);
        op.outcome = Outcome::acknowledged;
        op.ended_ns = ++clock;
        end.lists[0].push_back(value);
    }
    void lose(uint64_t value) {
        auto& list = end.lists[0];
        list.erase(std::find(list.begin(), list.end(), value));
    }
    // The only breach, or "".
    std::string verdict() const {
        const auto breaches = breaches_of(history, end, promise);
        if (breaches.empty()) return "";
        return breaches.size() == 1 ? breaches[0] : "several";
    }
};

}  // namespace

TEST_CASE_FIXTURE(Story, "history: a story without fault has no breach") {
    commits("a", 1, 1);
    commits("a", 2, 1);
    commits("b", 3, 2);
    CHECK(verdict() == "");
}

TEST_CASE_FIXTURE(Story, "history: an acknowledged commit that is lost is a breach") {
    commits("a", 1, 1);
    commits("a", 2, 1);
    lose(2);
    CHECK(verdict() == "value 2 of a was acknowledged under epoch 1 and is lost");
}

TEST_CASE_FIXTURE(Story, "history: asynchronously it may be discarded, when it is saved") {
    promise.acknowledged_survives = false;
    commits("a", 1, 1);
    commits("a", 2, 1);
    lose(2);
    CHECK(verdict() == "value 2 of a was acknowledged, then discarded, and is in no diverged tail");
    end.saved.insert(2);
    CHECK(verdict() == "");
}

TEST_CASE_FIXTURE(Story, "history: an acknowledgement of a fenced epoch is a breach") {
    commits("a", 1, 1);
    commits("b", 2, 2);
    commits("a", 3, 1);
    CHECK(verdict() == "value 3 of a was acknowledged under epoch 1, which epoch 2 had fenced");
    promise.one_holder = false;
    CHECK(verdict() == "");
}

TEST_CASE_FIXTURE(Story, "history: what was under way when the epoch changed is no breach") {
    begins("a", 1, 1);
    commits("b", 2, 2);
    history[0].outcome = Outcome::acknowledged;
    history[0].ended_ns = ++clock;
    end.lists[0] = {1, 2};
    history[1].tail = {1};
    CHECK(verdict() == "");
}

TEST_CASE_FIXTURE(Story, "history: an unknown outcome may be either") {
    begins("a", 1, 1);
    CHECK(verdict() == "");
    end.lists[0] = {1};
    CHECK(verdict() == "");
}

TEST_CASE_FIXTURE(Story, "history: a refused commit that is there is a breach") {
    begins("a", 1, 1).outcome = Outcome::refused;
    end.lists[0] = {1};
    CHECK(verdict() == "value 1 of a was refused and is there");
}

TEST_CASE_FIXTURE(Story, "history: a commit that changes its place is a breach") {
    commits("a", 1, 1);
    commits("a", 2, 1);
    history[1].tail = {};
    std::swap(end.lists[0][0], end.lists[0][1]);
    CHECK(verdict() == "value 1 of a stands after a later one");
}

TEST_CASE_FIXTURE(Story, "history: a read of what is not there is a breach") {
    commits("a", 1, 1);
    commits("b", 2, 2);
    history[1].tail = {7};
    CHECK(verdict() == "value 2 of b saw other values before it than there are");
}

TEST_CASE_FIXTURE(Story, "history: a value twice, or of nobody, is a breach") {
    commits("a", 1, 1);
    end.lists[1] = {1};
    CHECK(verdict() == "value 1 is there twice");
    end.lists[1] = {9};
    CHECK(verdict() == "value 9 is there and nobody wrote it");
}

TEST_CASE_FIXTURE(Story, "history: half a transfer is a breach, read or left behind") {
    commits("a", 1, 1);
    history[0].sum = 99;
    CHECK(verdict() == "value 1 of a saw accounts that sum up to 99");
    history[0].sum = 100;
    end.sum = 101;
    CHECK(verdict() == "the accounts sum up to 101 in the end, not 100");
}

TEST_CASE_FIXTURE(Story, "history: the takeover is from the old node's last to another's first") {
    commits("a", 1, 1);  // ends at 2
    const int64_t fault = ++clock;
    commits("b", 2, 2);  // 4 to 5
    commits("b", 3, 2);
    CHECK(takeover_of(history, "a", fault).ns() == 3);
    CHECK(takeover_of(history, "a", clock).first_after_ns == 0);
}

TEST_CASE("history: a client's notes are read back, a cut line is left out") {
    History history;
    read_notes("a", "b 1 0 7 100\na 1 110 50 4,5\nb 2 3 7 120\nr 2 130\nb 3 0 7 140\na 3 15",
               history);
    REQUIRE(history.size() == 3);
    CHECK(history[0].outcome == Outcome::acknowledged);
    CHECK(history[0].tail == std::vector<uint64_t>{4, 5});
    CHECK(history[0].sum == 50);
    CHECK(history[1].outcome == Outcome::refused);
    CHECK(history[1].list == 3);
    CHECK(history[2].outcome == Outcome::unknown);
    CHECK(history[2].ended_ns == INT64_MAX);
}
