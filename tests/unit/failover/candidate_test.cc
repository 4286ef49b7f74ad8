#include "failover/core/candidate.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

// Candidate number 0 of three; its own voter answers through `deliver`.
struct CandidateFixture : VoterFixture {
    std::unique_ptr<Candidate> candidate;
    CandidateFixture() { candidate = std::make_unique<Candidate>(standing, *voter, 3); }
    void again() {
        restart();
        candidate = std::make_unique<Candidate>(standing, *voter, 3);
    }
    void tick() {
        actions.clear();
        standing.progress = now;
        candidate->on_tick(now, actions);
    }
    // Until it asks for something, or `time` is over.
    void tick_for(Nanos time) {
        actions.clear();
        for (const Instant end = now + time; now < end && actions.empty();) {
            pass(5ms);
            tick();
        }
    }
    const VoteAsk* asked() const { return find_message<VoteAsk>(actions); }
    void pre_grant(int from) {
        const VoteAsk ask = *asked();
        pre_grant(from, ask);
    }
    void pre_grant(int from, const VoteAsk& ask) {
        candidate->on_pre_grant(key_of(from), {ask.terms.epoch, ask.terms.nonce, true, {}, {}}, now,
                                actions);
    }
    void grant(int from, const VoteAsk& ask) {
        const Grant grant = make_grant(ask.terms, true, Policy{}, SimSigner(from));
        candidate->on_grant(key_of(from), {ask.terms.epoch, ask.terms.nonce, grant}, now, actions);
    }
    void refuse(int from, const VoteAsk& ask, RefuseReason reason, Nanos remaining = {}) {
        Refuse refuse;
        refuse.epoch = refuse.promised = ask.terms.epoch;
        refuse.nonce = ask.terms.nonce;
        refuse.pre = ask.pre;
        refuse.reason = reason;
        refuse.remaining = remaining;
        candidate->on_refuse(key_of(from), refuse, now);
    }
    VoteAsk campaign_by_order() {
        actions.clear();
        candidate->campaign_with(order_of(config, VoteKind::ordered, 0, 0), now, actions);
        return *asked();
    }
    // Up to the request to the others, which is returned.
    VoteAsk campaign() {
        tick_for(1s);
        const VoteAsk pre = *asked();
        actions.clear();
        pre_grant(0, pre);
        pre_grant(1, pre);
        const VoteAsk own = *asked();
        actions.clear();
        Actions unheard;
        voter->on_vote_ask(key_of(0), own, now, unheard);
        grant(0, own);
        return own;
    }
};

}  // namespace

TEST_CASE_FIXTURE(CandidateFixture, "candidate: silent while its own promise lives") {
    adopt(1, 1);
    renew(1, 1);
    actions.clear();
    tick_for(config.timing.promise - 10ms);
    CHECK(candidate->phase() == CandidatePhase::idle);
    CHECK(asked() == nullptr);
    tick_for(200ms);
    CHECK(asked() != nullptr);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: asks whether they would, before it uses an epoch") {
    tick_for(1s);
    REQUIRE(asked() != nullptr);
    CHECK(asked()->pre);
    tick_for(10s);
    CHECK(voter->promised() == Epoch(0));
    CHECK(candidate->phase() == CandidatePhase::asking);
}

// A node that only lost its own link hears no promise end but its own.
TEST_CASE_FIXTURE(CandidateFixture, "candidate: refusals of a pre-vote use no epoch") {
    tick_for(1s);
    const VoteAsk pre = *asked();
    Refuse refuse;
    refuse.nonce = pre.terms.nonce;
    refuse.pre = true;
    refuse.reason = RefuseReason::lease;
    candidate->on_refuse(key_of(1), refuse, now);
    pre_grant(0, pre);
    CHECK(candidate->phase() == CandidatePhase::asking);
    CHECK(candidate->refusals().at(key_of(1)) == RefuseReason::lease);
}

TEST_CASE_FIXTURE(CandidateFixture,
                  "candidate: B10, its own vote is durable before others are asked") {
    tick_for(1s);
    const VoteAsk pre = *asked();
    actions.clear();
    pre_grant(0, pre);
    pre_grant(2, pre);
    REQUIRE(candidate->phase() == CandidatePhase::promising);
    REQUIRE(actions.size() == 1);
    const auto* own = std::get_if<action::Send>(&actions[0]);
    REQUIRE(own != nullptr);
    CHECK(own->to == key_of(0));
    const VoteAsk ask = *asked();
    actions.clear();
    grant(0, ask);
    CHECK(candidate->phase() == CandidatePhase::voting);
    CHECK(actions.size() == 2);  // now the two others
}

TEST_CASE_FIXTURE(CandidateFixture,
                  "candidate: a majority with N - k data grants makes the token") {
    const VoteAsk ask = campaign();
    CHECK_FALSE(candidate->take_token().has_value());
    grant(2, ask);
    const std::optional<Token> token = candidate->take_token();
    REQUIRE(token.has_value());
    CHECK(verify(*token, config, signer).ok());
    CHECK(candidate->phase() == CandidatePhase::idle);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: grants of an earlier candidacy count nothing") {
    VoteAsk ask = campaign();
    ask.terms.nonce += 1;
    grant(2, ask);
    CHECK_FALSE(candidate->take_token().has_value());
}

TEST_CASE_FIXTURE(CandidateFixture,
                  "candidate: a lost vote rests for a random while, longer each time") {
    campaign();
    while (candidate->phase() == CandidatePhase::voting) {
        pass(5ms);
        tick();
    }
    CHECK(candidate->phase() == CandidatePhase::resting);
    CHECK(candidate->deadline(now) >= now + config.timing.round / 2);
    CHECK(candidate->deadline(now) <= now + 2 * config.timing.round);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: a vote that can no longer be won is over at once") {
    const VoteAsk ask = campaign();
    refuse(1, ask, RefuseReason::stale);
    CHECK(candidate->phase() == CandidatePhase::voting);  // voter 2 may still grant
    refuse(2, ask, RefuseReason::stale);
    CHECK(candidate->phase() == CandidatePhase::resting);
}

TEST_CASE_FIXTURE(CandidateFixture,
                  "candidate: an order is tried while a promise may be in its way") {
    candidate->campaign_with(order_of(config, VoteKind::ordered, 0, 0), now, actions);
    for (const Instant end = now + config.timing.promise; now < end; pass(5ms)) {
        tick();
        CHECK(candidate->phase() != CandidatePhase::idle);
    }
    pass(config.timing.lease);
    standing.progress = Instant{0};  // else it would go on by itself
    for (int i = 0; i < 1000 && candidate->phase() != CandidatePhase::idle; ++i) {
        pass(5ms);
        candidate->on_tick(now, actions);
    }
    CHECK(candidate->phase() == CandidatePhase::idle);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: an order waits for its node's own promise only") {
    for (const Nanos left : {300ms, 200ms, 100ms}) {
        refuse(0, campaign_by_order(), RefuseReason::lease, left);
        CHECK(candidate->deadline(now) == now + left);
    }
    tick_for(100ms);
    CHECK(asked() != nullptr);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: who says when is asked again then") {
    tick_for(1s);
    const VoteAsk pre = *asked();
    refuse(1, pre, RefuseReason::lease, 3ms);
    CHECK(candidate->deadline(now) == now + 3ms);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: log ends of an earlier election rank nobody") {
    own_log(point(1, 5));
    candidate->on_end_seen(key_of(1), {Epoch(1), Lsn(9)}, now);
    pass(10s);
    tick();
    CHECK(candidate->deadline(now) == now);
    candidate->stop();
    candidate->on_end_seen(key_of(1), {Epoch(1), Lsn(9)}, now);
    tick();
    CHECK(candidate->deadline(now) > now);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: the better heir asks first") {
    config.members[1].priority = 200;
    again();
    tick();
    const Nanos behind_one = candidate->deadline(now) - now;
    config.members[1].priority = 50;
    config.members[2].priority = 50;
    again();
    tick();
    CHECK(candidate->deadline(now) - now < behind_one);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: nofailover, witness and suspect never ask") {
    config.members[0].nofailover = true;
    again();
    tick_for(1s);
    CHECK(asked() == nullptr);
    config = config_of(2, 1, 1);
    std::swap(config.members[0].witness, config.members[2].witness);
    again();
    tick_for(1s);
    CHECK(asked() == nullptr);
    config = config_of(3, 0, 1);
    start.ballot.suspect = true;
    start.condition = BallotCondition::good;
    again();
    tick_for(1s);
    CHECK(asked() == nullptr);
}

TEST_CASE_FIXTURE(CandidateFixture, "candidate: L6, a node whose disk hangs does not ask") {
    standing.progress = Instant{now.ns - config.timing.lease.count()};
    candidate->on_tick(now, actions);
    pass(1s);
    candidate->on_tick(now, actions);
    CHECK(asked() == nullptr);
}
