// The adapters: Ed25519 signatures and the ballot on a real disk.
#include <doctest/doctest.h>

#include "failover/adapters/ballot_store.h"
#include "failover/adapters/sodium_signer.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

std::unique_ptr<SodiumSigner> signer_from(uint8_t seed) {
    Bytes bytes(32, seed);
    return *SodiumSigner::from_seed(bytes);
}

Ballot ballot_of(uint64_t serial, uint64_t promised) {
    Ballot ballot;
    ballot.serial = serial;
    ballot.node = key_of(0);
    ballot.promised = Epoch(promised);
    ballot.config = config_of(3, 0, 1);
    return ballot;
}

}  // namespace

TEST_CASE("sodium_signer: what one signs all others verify, and nothing else") {
    const auto a = signer_from(1), b = signer_from(2);
    const Bytes message = {1, 2, 3};
    Signature signature = a->sign(message);
    CHECK(b->verify(a->self(), message, signature));
    CHECK_FALSE(b->verify(b->self(), message, signature));
    CHECK_FALSE(b->verify(a->self(), Bytes{1, 2, 4}, signature));
    signature.bytes[10] ^= 1;
    CHECK_FALSE(b->verify(a->self(), message, signature));
}

TEST_CASE("sodium_signer: a seed of another length is refused") {
    CHECK_FALSE(SodiumSigner::from_seed(Bytes(31, 1)).ok());
}

TEST_CASE("ballot_store: what was written is found, the newest of it") {
    const TempDir dir;
    auto store = BallotStore::open(dir.root(), key_of(0), false, Epoch(0));
    REQUIRE(store.ok());
    CHECK(store->found().ballot.condition == BallotCondition::fresh);
    const Token token = token_of(config_of(3, 0, 1), 4, 1, {0, 1});
    REQUIRE(store->write(ballot_of(1, 3), std::nullopt).ok());
    REQUIRE(store->write(ballot_of(2, 4), token).ok());
    auto again = BallotStore::open(dir.root(), key_of(0), true, Epoch(4));
    REQUIRE(again.ok());
    CHECK(again->found().ballot.condition == BallotCondition::good);
    CHECK(*again->found().ballot.ballot == ballot_of(2, 4));
    CHECK(again->found().token == token);
    REQUIRE(again->write(ballot_of(3, 5), std::nullopt).ok());
    CHECK(
        BallotStore::open(dir.root(), key_of(0), true, Epoch(0))->found().ballot.ballot->promised ==
        Epoch(5));
}

TEST_CASE("ballot_store: a removed file is a loss, not a beginning") {
    const TempDir dir;
    REQUIRE(BallotStore::open(dir.root(), key_of(0), false, Epoch(0))
                ->write(ballot_of(1, 3), std::nullopt)
                .ok());
    REQUIRE(remove_path(dir.root() + "/ballot").ok());
    CHECK(BallotStore::open(dir.root(), key_of(0), true, Epoch(0))->found().ballot.condition ==
          BallotCondition::lost);
}

TEST_CASE("ballot_store: a damaged token is as good as none, the ballot stands") {
    const TempDir dir;
    auto store = BallotStore::open(dir.root(), key_of(0), false, Epoch(0));
    REQUIRE(store->write(ballot_of(1, 4), token_of(config_of(3, 0, 1), 4, 1, {0, 1})).ok());
    REQUIRE(replace_file(dir.root() + "/token", Bytes{1, 2, 3}).ok());
    auto again = BallotStore::open(dir.root(), key_of(0), true, Epoch(0));
    REQUIRE(again.ok());
    CHECK_FALSE(again->found().token.has_value());
    CHECK(again->found().ballot.condition == BallotCondition::good);
}
