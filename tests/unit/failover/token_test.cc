#include "failover/core/token.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

struct TokenFixture {
    Config config = config_of(3, 2, 1);
    SimSigner anybody{42};
    bool good(const Token& token) const { return verify(token, config, anybody).ok(); }
    void sign_again(Token& token) const {
        for (Grant& grant : token.grants) {
            const int voter = grant.voter.bytes[0] - 1;
            grant = make_grant(token.terms, grant.is_data, grant.policy, SimSigner(voter));
        }
    }
};

}  // namespace

TEST_CASE_FIXTURE(TokenFixture, "token: T1, anybody with the config verifies it") {
    CHECK(good(token_of(config, 4, 0, {0, 1, 3})));
}

TEST_CASE_FIXTURE(TokenFixture, "token: a majority without N - k data grants is no quorum") {
    CHECK_FALSE(good(token_of(config, 4, 0, {0, 3, 4})));
}

TEST_CASE_FIXTURE(TokenFixture, "token: a voter that grants twice counts once") {
    CHECK_FALSE(good(token_of(config, 4, 0, {0, 1, 1})));
}

TEST_CASE_FIXTURE(TokenFixture, "token: a stranger's grant counts nothing") {
    Token token = token_of(config, 4, 0, {0, 1});
    token.grants.push_back(make_grant(token.terms, true, Policy{}, SimSigner(9)));
    CHECK_FALSE(good(token));
}

TEST_CASE_FIXTURE(TokenFixture, "token: a witness that calls itself data counts as none") {
    Token token = token_of(config, 4, 0, {0, 3, 4});
    token.grants[1].is_data = true;
    sign_again(token);
    CHECK_FALSE(good(token));
}

TEST_CASE_FIXTURE(TokenFixture, "token: every signed field is bound by the signatures") {
    const Token token = token_of(config, 4, 0, {0, 1, 3});
    const auto with = [&](auto change) {
        Token changed = token;
        change(changed);
        return good(changed);
    };
    CHECK_FALSE(with([](Token& t) { t.terms.epoch = Epoch(5); }));
    CHECK_FALSE(with([](Token& t) { t.terms.candidate = key_of(1); }));
    CHECK_FALSE(with([](Token& t) { t.terms.nonce += 1; }));
    CHECK_FALSE(with([](Token& t) { t.terms.base = point(9, 9); }));
    CHECK_FALSE(with([](Token& t) { t.terms.kind = VoteKind::handover; }));
    CHECK_FALSE(with([](Token& t) { t.terms.loss_epoch = Epoch(3); }));
    CHECK_FALSE(with([](Token& t) { t.grants[0].policy.k = 2; }));
    CHECK_FALSE(with([](Token& t) { t.grants[1].is_data = false; }));
    CHECK_FALSE(with([](Token& t) { t.grants[0].signature.bytes[5] ^= 1; }));
}

TEST_CASE_FIXTURE(TokenFixture, "token: another cluster's or config's token is invalid") {
    Token token = token_of(config, 4, 0, {0, 1, 3});
    config.cluster.bytes[0] ^= 1;
    CHECK(verify(token, config, anybody).error().code == Errc::invalid);
    config.cluster.bytes[0] ^= 1;
    config.id.version = 2;
    CHECK(verify(token, config, anybody).error().code == Errc::invalid);
}

// The newest policy among the grants decides: a degraded group needs all its data members.
TEST_CASE_FIXTURE(TokenFixture, "token: a degrade that one granter knows makes N - k stricter") {
    Token token = token_of(config, 4, 0, {0, 1, 3});
    token.grants[1].policy = {{Epoch(3), 1}, 0, AckLevel::durable, false};
    sign_again(token);
    CHECK_FALSE(good(token));
    token = token_of(config, 4, 0, {0, 1, 2});
    token.grants[1].policy = {{Epoch(3), 1}, 0, AckLevel::durable, false};
    sign_again(token);
    CHECK(good(token));
}

TEST_CASE_FIXTURE(TokenFixture, "token: lossy only where the config allows it") {
    Token token = token_of(config, 4, 0, {0, 3, 4});
    token.terms.kind = VoteKind::lossy;
    sign_again(token);
    CHECK_FALSE(good(token));
    config.sync_k = 0;
    config.lag_max_on_failover = 10;
    CHECK(good(token));
}

TEST_CASE_FIXTURE(TokenFixture, "token: forced by the operator's order for that very epoch") {
    const Epoch epoch = *forced_epoch(Epoch(7), 5);
    Token token = token_of(config, epoch.value, 1, {1});
    token.terms.kind = VoteKind::forced;
    sign_again(token);
    CHECK_FALSE(good(token));
    token.order = order_of(config, VoteKind::forced, epoch.value, 1);
    CHECK(good(token));
    token.order = order_of(config, VoteKind::forced, epoch.value + 1, 1);
    CHECK_FALSE(good(token));
    token.order = order_of(config, VoteKind::forced, epoch.value, 2);
    CHECK_FALSE(good(token));
}

TEST_CASE_FIXTURE(TokenFixture, "token: no signature passes for one of another kind") {
    const ReleaseCert cert = release_of(config, 4, 0, 1);
    CHECK(verify(cert, config, anybody).ok());
    const Token token = token_of(config, 4, 0, {0});
    const Bytes grant = signed_bytes(token.terms, token.grants[0]);
    const Bytes release = signed_bytes(cert);
    const Bytes order = signed_bytes(order_of(config, VoteKind::ordered, 4, 0));
    CHECK_FALSE(std::equal(grant.begin(), grant.begin() + 16, release.begin()));
    CHECK_FALSE(std::equal(grant.begin(), grant.begin() + 16, order.begin()));
    CHECK_FALSE(std::equal(order.begin(), order.begin() + 16, release.begin()));
}

TEST_CASE_FIXTURE(TokenFixture, "token: the file keeps it, and any flipped byte is noticed") {
    Token token = token_of(config, 4, 0, {0, 1, 3});
    token.order = order_of(config, VoteKind::ordered, 0, 0);
    const Bytes file = token_file(token);
    REQUIRE(read_token_file(file).ok());
    CHECK(*read_token_file(file) == token);
    for (size_t i = 0; i < file.size(); ++i) {
        Bytes damaged = file;
        damaged[i] ^= 0x10;
        CHECK_FALSE(read_token_file(damaged).ok());
    }
    for (size_t bytes = 0; bytes < file.size(); ++bytes) {
        CHECK_FALSE(read_token_file(ByteView(file).first(bytes)).ok());
    }
}
