#include "failover/core/ballot.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

struct BallotFixture {
    Bytes file = Bytes(kBallotFileBytes, 0);
    int next_slot = 0;
    PastEvidence past;

    static Ballot ballot(uint64_t serial, uint64_t promised) {
        Ballot ballot;
        ballot.serial = serial;
        ballot.node = key_of(0);
        ballot.promised = Epoch(promised);
        ballot.voted = {Epoch(promised), key_of(1), 77};
        ballot.policy = {{Epoch(promised), 2}, 1, AckLevel::applied, true};
        ballot.commit_hint = {Epoch(1), Lsn(12)};
        ballot.acks_unsynced = true;
        ballot.boot.bytes.fill(3);
        ballot.config = config_of(3, 2, 1);
        return ballot;
    }
    // `bytes`: how much of the slot reaches the disk.
    void write(const Ballot& ballot, size_t bytes) {
        const Bytes slot = encode_slot(ballot);
        std::copy_n(slot.begin(), bytes, file.begin() + next_slot * long{kBallotSlotBytes});
        next_slot = 1 - next_slot;
    }
    void write(const Ballot& ballot) { write(ballot, kBallotSlotBytes); }
    LoadedBallot load() const { return *judge_ballot_file(file, key_of(0), past); }
};

}  // namespace

TEST_CASE_FIXTURE(BallotFixture, "ballot: a slot keeps every field") {
    const Ballot one = ballot(1, 5);
    write(one);
    const LoadedBallot loaded = load();
    CHECK(loaded.condition == BallotCondition::good);
    CHECK(*loaded.ballot == one);
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: the newest valid slot wins, the other is written next") {
    write(ballot(1, 5));
    write(ballot(2, 6));
    CHECK(load().ballot->promised == Epoch(6));
    CHECK(load().next_slot == 0);
    write(ballot(3, 7));
    CHECK(load().ballot->promised == Epoch(7));
    CHECK(load().next_slot == 1);
}

// Whatever part of a slot was written when the power went, the ballot before it is there.
TEST_CASE_FIXTURE(BallotFixture, "ballot: a torn write loses the new ballot only") {
    write(ballot(1, 5));
    write(ballot(2, 6));
    const Bytes before = file;
    const size_t used = 16 + size_t{before[8]} + 256 * size_t{before[9]} + 8;
    for (size_t bytes = 0; bytes < used; ++bytes) {
        file = before;
        next_slot = 0;
        write(ballot(3, 7), bytes);
        CHECK(load().condition == BallotCondition::good);
        CHECK(load().ballot->promised == Epoch(6));
    }
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: a flipped bit is never another ballot") {
    const Bytes slot = encode_slot(ballot(1, 5));
    for (size_t i = 0; i < 700; ++i) {
        Bytes damaged = slot;
        damaged[i] ^= 1;
        CHECK_FALSE(decode_slot(damaged).ok());
    }
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: a new node has none, and that is no loss") {
    CHECK(judge_ballot_file({}, key_of(0), past)->condition == BallotCondition::fresh);
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: VOTEAMNESIA, a file without a valid slot is a loss") {
    CHECK(load().condition == BallotCondition::lost);
    file.resize(100);
    CHECK(load().condition == BallotCondition::lost);
    file.clear();
    past.member_before = true;
    CHECK(load().condition == BallotCondition::lost);
    past = {false, Epoch(2), Epoch(0)};
    CHECK(load().condition == BallotCondition::lost);
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: one that is older than log or token is a loss") {
    write(ballot(1, 5));
    past.log_epoch = Epoch(6);
    CHECK(load().condition == BallotCondition::lost);
    past = {true, Epoch(5), Epoch(6)};
    CHECK(load().condition == BallotCondition::lost);
    past = {true, Epoch(5), Epoch(5)};
    CHECK(load().condition == BallotCondition::good);
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: another node's file is a loss") {
    write(ballot(1, 5));
    CHECK(judge_ballot_file(file, key_of(1), past)->condition == BallotCondition::lost);
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: a later version is refused with both numbers") {
    write(ballot(1, 5));
    file[4] = 9;
    const auto loaded = judge_ballot_file(file, key_of(0), past);
    REQUIRE_FALSE(loaded.ok());
    CHECK(loaded.error().code == Errc::version);
    CHECK(loaded.error().message.find("version 9") != std::string::npos);
    CHECK(loaded.error().message.find("reads 1") != std::string::npos);
}

TEST_CASE_FIXTURE(BallotFixture, "ballot: the largest config fits into a slot") {
    Ballot big = ballot(1, 5);
    big.config = config_of(static_cast<int>(kMembersMax), 0, 1);
    big.config.leaving = big.config.members;
    big.config.operators.assign(kOperatorsMax, key_of(90));
    CHECK(encode_slot(big).size() == kBallotSlotBytes);
    CHECK(*decode_slot(encode_slot(big)) == big);
}
