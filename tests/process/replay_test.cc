// What was true once and is sent again by a member that kept it: certificates of an earlier epoch,
// an old member list, a message out of another session. Nothing of it counts.
#include "failover/core/message.h"
#include "tests/support/keyed_voters.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

struct Replay : KeyedVoters {
    NodeAddress address_of(const std::string& name) const {
        return {identity_of(name).key(), endpoints.at(name), {}};
    }
    failover::Token token_of(const std::string& name) const {
        auto bytes = read_file(Layout(db(name)).directory + "/token", 1u << 20);
        REQUIRE(bytes.ok());
        auto token = failover::read_token_file(*bytes);
        REQUIRE(token.ok());
        return *token;
    }
    uint64_t epoch_of(const std::string& name) const { return token_of(name).epoch().value; }
    failover::Grant grant_of(const std::string& voter, const failover::GrantTerms& terms) const {
        const Identity identity = identity_of(voter);
        failover::Grant grant;
        grant.voter = identity.key();
        grant.is_data = voter != "w";
        grant.signature.bytes = identity.sign(failover::signed_bytes(terms, grant)).bytes;
        return grant;
    }
    // A member says it to another, who has read it when this returns.
    void say(const std::string& from, const std::string& to, const failover::Message& message) {
        Visitor visitor(identity_of(from), address_of(to));
        visitor.say(Vote{identity_of(from).key(), failover::encode(message)});
        visitor.say(StatusAsk{});
        const auto answer = visitor.hear();
        REQUIRE(answer);
        CHECK(std::holds_alternative<StatusText>(*answer));
    }
    void hand_over_to_b() {
        must("switchover a.db --to b");
        REQUIRE(eventually([&] { return is_primary("b"); }));
        const uint64_t epoch = epoch_of("b");
        for (const std::string& name : all) {
            REQUIRE(eventually([&] { return epoch_of(name) == epoch && follows_b(name); }));
        }
    }
    bool follows_b(const std::string& name) const {
        const Json holder = failover(name).value("holder", Json());
        return holder.is_object() && holder["key"] == to_string(identity_of("b").key());
    }
    // The rest of the group would show a voter that went back: b commits only with it.
    void still_follows_b(uint64_t epoch) {
        CHECK(eventually([&] { return !write("b", 1).starts_with("error"); }));
        CHECK(equal_soon("b", {"a", "b", "c"}));
        for (const std::string& name : all) {
            CAPTURE(name);
            CHECK_MESSAGE(epoch_of(name) == epoch, everybody_said());
            CHECK(follows_b(name));
        }
        CHECK(is_primary("b"));
        CHECK_FALSE(is_primary("a"));
    }
};

}  // namespace

TEST_CASE_FIXTURE(Replay, "replay: a token of an earlier epoch makes nobody follow it") {
    const failover::Token old = token_of("c");
    hand_over_to_b();
    const uint64_t epoch = epoch_of("b");
    REQUIRE(old.epoch().value < epoch);
    for (const char* to : {"a", "b", "w"}) say("c", to, failover::Announce{old});
    still_follows_b(epoch);
}

// A majority that signed twice in one epoch, for two holders: the second token is as good as the
// first, and whoever knows one of them follows no other.
TEST_CASE_FIXTURE(Replay, "replay: a second token of one epoch is an alarm, and moves nobody") {
    failover::Token second = token_of("b");
    second.terms.candidate = identity_of("c").key();
    second.grants.clear();
    for (const char* voter : {"b", "c", "w"})
        second.grants.push_back(grant_of(voter, second.terms));
    for (const char* to : {"a", "b"}) {
        say("c", to, failover::Announce{second});
        CHECK(eventually([&] { return daemons[to].says("two tokens for epoch"); }));
        CHECK(eventually([&] { return tanist("status " + db(to)).says("two tokens for epoch"); }));
    }
    CHECK(is_primary("a"));
    CHECK(token_of("b").holder() == identity_of("a").key());
}

// The former holder has its old renewals; whoever is asked by it keeps what it promised since.
TEST_CASE_FIXTURE(Replay, "replay: renewals, grants and releases of an earlier epoch are void") {
    const failover::Token old = token_of("a");
    const std::vector<failover::Grant> grants = old.grants;
    hand_over_to_b();
    const uint64_t epoch = epoch_of("b");
    failover::Renew renew;
    renew.epoch = old.epoch();
    renew.seq = 1'000'000;
    for (const char* to : {"b", "c", "w"}) say("a", to, renew);
    REQUIRE_FALSE(grants.empty());
    for (const failover::Grant& grant : grants) {
        say("c", "a", failover::VoteGrant{old.epoch(), old.terms.nonce, grant});
    }
    if (const auto& release = token_of("b").release) {
        for (const char* to : {"b", "c", "w"}) say("a", to, failover::Release{*release});
    }
    still_follows_b(epoch);
}

// Signed by every voter of ours, for a cluster that has another number.
TEST_CASE_FIXTURE(Replay, "replay: certificates and votes of another cluster move nobody") {
    failover::Token other = token_of("b");
    const uint64_t epoch = other.epoch().value;
    other.terms.cluster.bytes[0] ^= 1;
    other.terms.epoch = Epoch(epoch + 1);
    other.terms.candidate = identity_of("c").key();
    other.grants.clear();
    for (const std::string& voter : all) other.grants.push_back(grant_of(voter, other.terms));
    failover::VoteAsk ask;
    ask.terms = other.terms;
    for (const char* to : {"a", "b", "w"}) {
        say("c", to, failover::Announce{other});
        say("c", to, ask);
        CHECK(failover(to)["promised"] == epoch);
        CHECK(epoch_of(to) == epoch);
    }
    CHECK(is_primary("a"));
    CHECK(eventually([&] { return !write("a", 1).starts_with("error"); }));
    CHECK(equal_soon("a", {"b", "c"}));
}

TEST_CASE("replay: an old member list brings nobody back, even from whom it was signed by") {
    KeyedCluster cluster;
    cluster.start_engine();
    KeyedNode stays(cluster.dir, "b.db", kAnyPort);
    KeyedNode leaves(cluster.dir, "c.db", kAnyPort);
    cluster.must_add(stays, " --name b");
    cluster.must_add(leaves, " --name c");
    REQUIRE(eventually([&] { return cluster.list_of(stays.db).version == 2; }));
    const MemberList old = cluster.list_of(stays.db);
    REQUIRE(cluster.tanist("members remove app.db c").code == 0);
    REQUIRE(eventually([&] { return cluster.list_of(stays.db).version == 3; }));
    Visitor primary(cluster.identity_of(cluster.db), stays.without_invite());
    // The list that took a key off cuts every connection a moment later, and a word with it.
    std::optional<Body> answer;
    REQUIRE(eventually([&] {
        primary.say(MembersList{encode_member_list(old)});
        return (answer = primary.hear(20)).has_value();
    }));
    REQUIRE(std::holds_alternative<MembersHave>(*answer));
    CHECK(std::get<MembersHave>(*answer).version == 3);
    CHECK(cluster.list_of(stays.db).version == 3);
    Visitor gone(cluster.identity_of(leaves.db), stays.without_invite());
    gone.say(StatusAsk{});
    CHECK(gone.gets_nothing());
}

// With the primary's own key, so that nothing but the session keeps it out.
TEST_CASE("replay: a message of another session is refused, and the stream goes on") {
    KeyedCluster cluster;
    cluster.start_engine();
    KeyedNode node(cluster.dir, "b.db", kAnyPort);
    cluster.must_add(node);
    cluster.insert(1);
    REQUIRE(cluster.equal_soon(node.db));
    Visitor primary(cluster.identity_of(cluster.db), node.without_invite());
    Heartbeat beat;
    beat.end = {Epoch(1), Lsn(1'000'000)};
    beat.committed = Lsn(1'000'000);
    primary.say(beat);
    CHECK(primary.refusal().find("no such session") != std::string::npos);
    cluster.insert(2);
    CHECK(cluster.equal_soon(node.db));
}
