#include "failover/core/voter.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

TEST_CASE_FIXTURE(VoterFixture, "voter: G1, only a data member of this group is granted") {
    VoteAsk other = ask_for(1, 1);
    other.terms.group.bytes.fill(9);
    ask(other);
    CHECK(refused() == RefuseReason::not_electable);
    VoteAsk forged = ask_for(1, 1);
    actions.clear();
    voter->on_vote_ask(key_of(2), forged, now, actions);  // 2 asks in the name of 1
    CHECK(refused() == RefuseReason::not_electable);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G1, nofailover is granted to an operator's order only") {
    config.members[1].nofailover = true;
    restart();
    ask(1, 1);
    CHECK(refused() == RefuseReason::not_electable);
    VoteAsk ordered = ask_for(1, 1);
    ordered.terms.kind = VoteKind::ordered;
    ordered.order = order_of(config, VoteKind::ordered, 0, 1);
    ask(ordered);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G1, an order that no operator signed is none") {
    VoteAsk ordered = ask_for(1, 1);
    ordered.terms.kind = VoteKind::ordered;
    ordered.order = order_of(config, VoteKind::ordered, 0, 1);
    ordered.order->by = key_of(1);
    ordered.order->signature = SimSigner(1).sign(signed_bytes(*ordered.order));
    ask(ordered);
    CHECK(refused() == RefuseReason::not_electable);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G2 and S3, one candidate per epoch, the same one again") {
    ask(1, 1);
    CHECK(granted());
    ask(1, 2);
    CHECK(refused() == RefuseReason::stale);
    ask(1, 1);
    CHECK(granted());
    VoteAsk second = ask_for(1, 1);  // the same candidate, another candidacy
    second.terms.nonce += 1;
    ask(second);
    CHECK(refused() == RefuseReason::stale);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G2 and S2, a lower epoch is refused, after a restart too") {
    ask(5, 1);
    crash(false);
    pass(3s);
    ask(4, 2);
    CHECK(refused() == RefuseReason::stale);
    ask(5, 2);
    CHECK(refused() == RefuseReason::stale);
    ask(6, 2);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G3, a candidate with an older config is refused") {
    config.id.version = 2;
    restart();
    VoteAsk old = ask_for(1, 1);
    old.terms.config.version = 1;
    ask(old);
    CHECK(refused() == RefuseReason::config);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G4 and L2, no grant while a promise to another lives") {
    adopt(1, 1);
    renew(1, 1);
    pass(config.timing.promise - 1ns);
    ask(2, 2);
    CHECK(refused() == RefuseReason::lease);
    pass(1ns);
    ask(2, 2);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G4, the holder itself may ask again") {
    adopt(1, 1);
    renew(1, 1);
    ask(2, 1);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G4, a release lets the successor through, then anybody") {
    adopt(1, 1);
    renew(1, 1);
    voter->on_release(release_of(config, 1, 1, 2), now);
    CHECK(voter->campaign_after() > now);  // this node is not the successor
    ask(2, 2);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G4, after the handover window anybody") {
    adopt(1, 1);
    renew(1, 1);
    voter->on_release(release_of(config, 1, 1, 0), now);
    ask(2, 2);
    CHECK(refused() == RefuseReason::lease);
    pass(config.timing.handover_window);
    ask(2, 2);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G4, a release that the holder did not sign is none") {
    adopt(1, 1);
    renew(1, 1);
    ReleaseCert forged = release_of(config, 1, 2, 2);
    forged.holder = key_of(1);
    voter->on_release(forged, now);
    ask(2, 2);
    CHECK(refused() == RefuseReason::lease);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: writes_only, three silent heartbeats are enough") {
    config.lease_mode = LeaseMode::writes_only;
    restart();
    adopt(1, 1);
    renew(1, 1);
    pass(3 * config.timing.heartbeat - 1ns);
    ask(2, 2);
    CHECK(refused() == RefuseReason::lease);
    pass(1ns);
    ask(2, 2);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G5 and L3, a restart withholds for one promise") {
    adopt(1, 1);
    crash(false);
    ask(2, 2);
    CHECK(refused() == RefuseReason::restarted);
    pass(config.timing.promise);
    ask(2, 2);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: for how long a release by the holder changes nothing") {
    adopt(1, 1);
    crash(false);
    CHECK(voter->withholds_until() == now + config.timing.promise);
    pass(config.timing.promise);
    renew(1, 1);
    CHECK(voter->withholds_until() <= now);
    adopt(2, 2);
    CHECK(voter->withholds_until() <= now);
    renew(2, 2);
    CHECK(voter->withholds_until() <= now);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G5, the promise file of this boot says how long exactly") {
    adopt(1, 1);
    renew(1, 1);
    pass(2s);
    crash(true);
    ask(2, 2);
    CHECK(refused() == RefuseReason::lease);
    pass(config.timing.promise - 2s);
    ask(2, 2);
    CHECK(granted());
}

// LSNONLY: the longer log may be the older one.
TEST_CASE_FIXTURE(VoterFixture, "voter: G6, the epoch of the last record goes before its LSN") {
    own_log(point(3, 10));
    ask(4, 1, point(2, 99));
    CHECK(refused() == RefuseReason::log);
    ask(4, 1, point(3, 9));
    CHECK(refused() == RefuseReason::log);
    ask(4, 1, point(3, 10));
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G6, a witness compares with the watermark it heard of") {
    config = config_of(2, 1, 1);
    std::swap(config.members[0].witness, config.members[2].witness);  // this node
    restart();
    REQUIRE(voter->adopt(token_of(config, 1, 1, {0, 1}), actions).ok());
    persist();
    Renew renew;
    renew.epoch = Epoch(1);
    renew.committed = {Epoch(1), Lsn(8)};
    voter->on_renew(key_of(1), renew, now, actions);
    pass(config.timing.promise);
    ask(2, 2, point(1, 7));
    CHECK(refused() == RefuseReason::log);
    ask(2, 2, point(1, 8));
    REQUIRE(granted());
    CHECK_FALSE(find_message<VoteGrant>(actions)->grant.is_data);  // S14
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G7 and S15, a suspect grants for the majority only") {
    start.ballot.suspect = true;
    start.condition = BallotCondition::good;
    restart();
    ask(1, 1);
    REQUIRE(granted());
    CHECK_FALSE(find_message<VoteGrant>(actions)->grant.is_data);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: unsynced acks and an unclean reboot make suspect") {
    config.level = AckLevel::received;
    restart();
    adopt(1, 1);
    CHECK_FALSE(voter->may_ack_unsynced());
    renew(1, 1);
    CHECK_FALSE(voter->may_ack_unsynced());  // the note is not durable yet
    persist();
    CHECK(voter->may_ack_unsynced());
    crash(true);
    CHECK_FALSE(voter->ballot().suspect);
    crash(false);
    CHECK(voter->ballot().suspect);
    CHECK_FALSE(voter->electable());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: a clean stop makes no suspect") {
    config.level = AckLevel::received;
    restart();
    adopt(1, 1);
    renew(1, 1);
    voter->on_clean_stop(actions);
    persist();
    crash(false);
    CHECK_FALSE(voter->ballot().suspect);
}

// Found by the simulator: a holder's message from before the reboot may name an end that is older
// than what the reboot took. So the voter asks, with a nonce of this start.
TEST_CASE_FIXTURE(VoterFixture,
                  "voter: a suspect is none when it has synced what the holder has now") {
    start.ballot.suspect = true;
    start.condition = BallotCondition::good;
    restart();
    adopt(1, 1);
    own_log(point(1, 5));
    renew(1, 1, {Epoch(1), Lsn(5)});
    CHECK(voter->ballot().suspect);
    actions.clear();
    voter->on_tick(now, actions);
    REQUIRE(find_message<EndAsk>(actions) != nullptr);
    const uint64_t nonce = find_message<EndAsk>(actions)->nonce;
    voter->on_end_told(key_of(1), {Epoch(1), nonce + 1, Lsn(5)}, actions);
    CHECK(voter->ballot().suspect);
    voter->on_end_told(key_of(1), {Epoch(1), nonce, Lsn(6)}, actions);
    CHECK(voter->ballot().suspect);
    own_log(point(1, 6));
    voter->on_tick(now, actions);
    CHECK_FALSE(voter->ballot().suspect);
}

// An operator may have named it, and nobody can tell a primary where its log should end.
TEST_CASE_FIXTURE(VoterFixture,
                  "voter: the log of who holds an epoch is the history, so no suspect") {
    start.ballot.suspect = true;
    start.condition = BallotCondition::good;
    restart();
    adopt(1, 0);
    own_log(point(1, 3));
    standing.log.durable = Lsn(2);
    voter->on_own_barrier(point(1, 3).position, actions);
    CHECK(voter->ballot().suspect);  // not yet synced
    standing.log.durable = Lsn(3);
    voter->on_tick(now, actions);
    CHECK_FALSE(voter->ballot().suspect);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: G8, a grant leaves only after the ballot is durable") {
    ask(1, 1);
    const auto* persist = find_action<action::Persist>(actions);
    REQUIRE(persist != nullptr);
    CHECK(persist->ballot.promised == Epoch(1));
    CHECK(persist->ballot.voted.candidate == key_of(1));
    const auto* after = find_action<action::SendAfterPersist>(actions);
    REQUIRE(after != nullptr);
    CHECK(after->serial == persist->ballot.serial);
    CHECK(find_action<action::Send>(actions) == nullptr);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: a pre-vote changes and signs nothing") {
    VoteAsk pre = ask_for(1, 1);
    pre.pre = true;
    ask(pre);
    CHECK(find_message<PreGrant>(actions) != nullptr);
    CHECK(find_action<action::Persist>(actions) == nullptr);
    CHECK(voter->promised() == Epoch(0));
    ask(1, 2);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: of two who ask at once the better heir is encouraged") {
    pre_ask(1, point(1, 5));
    CHECK(find_message<PreGrant>(actions) != nullptr);
    pre_ask(2, point(1, 5));
    CHECK(refused() == RefuseReason::lease);
    pre_ask(2, point(1, 6));
    CHECK(find_message<PreGrant>(actions) != nullptr);
    pre_ask(1, point(1, 5));
    CHECK(refused() == RefuseReason::lease);
    CHECK_FALSE(voter->own_promise_over(now));  // it lets that one try first, too
    pass(2 * config.timing.round);
    CHECK(voter->own_promise_over(now));
    pre_ask(1, point(1, 5));
    CHECK(find_message<PreGrant>(actions) != nullptr);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: a new holder has its turn until it renews") {
    config.lease_mode = LeaseMode::writes_only;
    restart();
    adopt(1, 1);
    voter->expect_holder(key_of(1), now);
    pass(config.timing.promise - 1ns);
    CHECK_FALSE(voter->own_promise_over(now));
    renew(1, 1);
    pass(3 * config.timing.heartbeat);
    CHECK(voter->own_promise_over(now));
}

TEST_CASE_FIXTURE(VoterFixture, "voter: who cannot win keeps the others waiting once") {
    pre_ask(1, point(1, 5));
    pass(2 * config.timing.round);
    pre_ask(1, point(1, 5));  // the same candidacy goes on
    CHECK(find_message<PreGrant>(actions) != nullptr);
    pre_ask(2, point(1, 5));
    CHECK(find_message<PreGrant>(actions) != nullptr);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: A1, a lower epoch is answered with the higher token") {
    adopt(3, 1);
    renew(2, 2);
    CHECK(refused() == RefuseReason::stale);
    CHECK(find_message<Refuse>(actions)->token->epoch() == Epoch(3));
    CHECK(voter->admit(Epoch(2), key_of(2)) == Voter::Admission::stale);
    CHECK(voter->admit(Epoch(3), key_of(1)) == Voter::Admission::take);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: A1, a higher epoch is taken by its token only") {
    renew(3, 1);
    CHECK(refused() == RefuseReason::need_token);
    CHECK(voter->promised() == Epoch(0));
    CHECK(voter->admit(Epoch(3), key_of(1)) == Voter::Admission::need_token);
}

// ACKLATE: the sync of an old epoch's record may finish after the grant of a newer one.
TEST_CASE_FIXTURE(VoterFixture, "voter: A3 and S4, no ack once a higher epoch is promised") {
    adopt(1, 1);
    CHECK(voter->may_ack(Epoch(1)));
    ask(2, 2);
    REQUIRE(granted());
    CHECK_FALSE(voter->may_ack(Epoch(1)));
}

TEST_CASE_FIXTURE(VoterFixture, "voter: A3, no ack before the promise is durable") {
    REQUIRE(voter->adopt(token_of(config, 1, 1, {0, 1}), actions).ok());
    CHECK_FALSE(voter->may_ack(Epoch(1)));
    persist();
    CHECK(voter->may_ack(Epoch(1)));
}

TEST_CASE_FIXTURE(VoterFixture, "voter: T2, a second token of one epoch raises an alarm") {
    adopt(1, 1);
    actions.clear();
    CHECK_FALSE(voter->adopt(token_of(config, 1, 2, {0, 2}), actions).ok());
    REQUIRE(find_action<action::Report>(actions) != nullptr);
    CHECK(find_action<action::Report>(actions)->what.rfind("ALARM", 0) == 0);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: T2, a second token that nobody signed is no alarm") {
    adopt(1, 1);
    actions.clear();
    Token forged = token_of(config, 1, 2, {0, 2});
    for (Grant& grant : forged.grants) grant.signature.bytes[0] ^= 1;
    CHECK_FALSE(voter->adopt(forged, actions).ok());
    CHECK(find_action<action::Report>(actions) == nullptr);
}

TEST_CASE_FIXTURE(VoterFixture, "voter: a paused group grants nobody who was not asked to be") {
    adopt(1, 1);
    Policy paused{{Epoch(1), 1}, 1, AckLevel::durable, true};
    voter->on_policy_store(key_of(1), {Epoch(1), paused}, actions);
    persist();
    ask(2, 2);
    CHECK(refused() == RefuseReason::paused);
    CHECK_FALSE(voter->electable());
    VoteAsk ordered = ask_for(2, 2);
    ordered.terms.kind = VoteKind::ordered;
    ordered.order = order_of(config, VoteKind::ordered, 0, 2);
    ask(ordered);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture, "voter: lossy, not beyond the lag that the config allows") {
    config = config_of(3, 0, 0);
    config.lag_max_on_failover = 5;
    restart();
    adopt(1, 1);
    renew(1, 1, {Epoch(1), Lsn(20)});
    pass(config.timing.promise);
    VoteAsk lossy = ask_for(2, 2, point(1, 14));
    lossy.terms.kind = VoteKind::lossy;
    ask(lossy);
    CHECK(refused() == RefuseReason::lag);
    lossy.terms.base = point(1, 15);
    ask(lossy);
    CHECK(granted());
}

TEST_CASE_FIXTURE(VoterFixture,
                  "voter: a lost ballot grants and acks nothing until all have told") {
    start.condition = BallotCondition::lost;
    restart();
    ask(1, 1);
    CHECK(refused() == RefuseReason::lost_ballot);
    actions.clear();
    voter->on_tick(now, actions);
    const auto nonce = [&] { return find_message<PromiseAsk>(actions)->nonce; };
    REQUIRE(find_message<PromiseAsk>(actions) != nullptr);
    voter->on_promise_told(key_of(1), {nonce(), Epoch(4), {}, false}, now, actions);
    CHECK(voter->ballot().lost);
    voter->on_promise_told(key_of(2), {nonce(), Epoch(9), {}, true}, now,
                           actions);  // knows no more
    CHECK(voter->ballot().lost);
    actions.clear();
    voter->on_tick(now, actions);
    voter->on_promise_told(key_of(1), {nonce(), Epoch(4), {}, false}, now, actions);
    CHECK(voter->ballot().lost);
    voter->on_promise_told(key_of(2), {nonce(), Epoch(7), {}, false}, now, actions);
    persist();
    CHECK_FALSE(voter->ballot().lost);
    CHECK(voter->promised() == Epoch(7));
    ask(8, 1);
    CHECK(refused() == RefuseReason::restarted);
    pass(config.timing.promise);
    ask(8, 1);
    REQUIRE(granted());
    CHECK_FALSE(find_message<VoteGrant>(actions)->grant.is_data);  // its log may be gone, too
}

namespace {

// Voter number 0 without its ballot, in a group of `data` members.
struct Amnesiac : VoterFixture {
    uint64_t nonce = 0;

    void begin(int data, Position log_end = {}) {
        config = config_of(data, 0, 1);
        standing.config = config;
        standing.log.end.position = log_end;
        start.condition = BallotCondition::lost;
        restart();
        asks();
    }
    void asks() {
        actions.clear();
        voter->on_tick(now, actions);
        const PromiseAsk* question = find_message<PromiseAsk>(actions);
        REQUIRE(question != nullptr);
        nonce = question->nonce;
    }
    void tells(int from, uint64_t epoch) {
        voter->on_promise_told(key_of(from), {nonce, Epoch(epoch), {}, false}, now, actions);
        persist();
    }
    void lost_its_own(int from) {
        voter->on_promise_told(key_of(from), {nonce, Epoch(0), {}, true}, now, actions);
    }
    bool knows() const { return !voter->ballot().lost; }
};

}  // namespace

TEST_CASE_FIXTURE(Amnesiac,
                  "voter: two of five lost their ballots, and the others' word is enough") {
    begin(5);
    tells(1, 4);
    tells(2, 5);
    lost_its_own(4);
    tells(3, 4);  // asked before: who lost its ballot may have won an election after that
    CHECK_FALSE(knows());
    asks();
    lost_its_own(4);
    tells(1, 6);
    tells(2, 6);
    CHECK_FALSE(knows());
    tells(3, 4);
    CHECK(knows());
    CHECK(voter->promised() == Epoch(6));
    CHECK(voter->ballot().suspect);
}

TEST_CASE_FIXTURE(Amnesiac, "voter: a majority that lost its ballots replaces none") {
    for (const int data : {3, 4, 5}) {
        begin(data);
        const int lost_beside = data / 2;
        for (int i = 1; i <= lost_beside; ++i) {
            lost_its_own(i);
            asks();
        }
        for (int i = lost_beside + 1; i < data; ++i) tells(i, 5);
        CHECK_FALSE(knows());
        // One of them knows again.
        tells(1, 7);
        CHECK(knows() == (lost_beside > 1 || data == 3));
    }
}

TEST_CASE_FIXTURE(Amnesiac, "voter: what the own log ends in was promised") {
    begin(3, {Epoch(9), Lsn(4)});
    tells(1, 5);
    tells(2, 5);
    CHECK(knows());
    CHECK(voter->promised() == Epoch(9));
}

TEST_CASE_FIXTURE(Amnesiac,
                  "voter: an operator's word replaces a lost ballot by a new generation") {
    begin(3, {Epoch(9), Lsn(4)});
    tells(1, 11);
    REQUIRE(voter->take_word({.seen = Epoch(10), .nonce = 3}, now, actions).ok());
    persist();
    REQUIRE(knows());
    const Epoch fresh = *forced_epoch(Epoch(11), 3);
    CHECK(voter->promised() == fresh);
    pass(config.timing.promise);
    ask(12, 1, point(11, 9));
    CHECK(refused() == RefuseReason::stale);
    ask(fresh.value, 1, point(11, 9));
    CHECK(refused() == RefuseReason::stale);
    ask(fresh.value + 1, 1, point(11, 9));
    REQUIRE(granted());
    CHECK_FALSE(find_message<VoteGrant>(actions)->grant.is_data);  // the log was not accepted
}

TEST_CASE_FIXTURE(VoterFixture, "voter: an operator's word lets a suspect's log count") {
    start.condition = BallotCondition::good;
    start.ballot = voter->ballot();
    start.ballot.suspect = true;
    restart();
    const Epoch before = voter->promised();
    REQUIRE(voter->take_word({.seen = Epoch(5), .log_counts = true}, now, actions).ok());
    persist();
    CHECK(voter->promised() == before);
    CHECK_FALSE(voter->ballot().suspect);
    ask(6, 1);
    REQUIRE(granted());
    CHECK(find_message<VoteGrant>(actions)->grant.is_data);
}

TEST_CASE_FIXTURE(VoterFixture,
                  "voter: a policy is acknowledged when it is durable, never undone") {
    adopt(1, 1);
    actions.clear();
    const Policy weak{{Epoch(1), 2}, 0, AckLevel::durable, false};
    voter->on_policy_store(key_of(1), {Epoch(1), weak}, actions);
    CHECK(find_action<action::SendAfterPersist>(actions) != nullptr);
    persist();
    actions.clear();
    voter->on_policy_store(key_of(1), {Epoch(1), {{Epoch(1), 1}, 1, AckLevel::durable, false}},
                           actions);
    CHECK(find_message<PolicyStored>(actions) == nullptr);
    CHECK(voter->ballot().policy.k == 0);
}
