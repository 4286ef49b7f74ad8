// `tanist token`: what anybody can say of a certificate without asking a node.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "failover/adapters/ballot_store.h"
#include "failover/adapters/sodium_signer.h"
#include "tests/support/daemons.h"

using namespace tanist;
using namespace tanist::testing;
using failover::Ballot;
using failover::Config;
using failover::Grant;
using failover::SodiumSigner;
using failover::Token;

namespace {

std::unique_ptr<SodiumSigner> signer_of(uint8_t number) {
    return std::move(SodiumSigner::from_seed(Bytes(32, number))).value();
}

// Three voters; the first holds epoch 4 by the grants of itself and the second.
struct Elected {
    TempDir dir;
    std::string db = dir.path("app.db");
    std::vector<std::unique_ptr<SodiumSigner>> voters;
    Config config;
    Token token;

    Elected() {
        for (uint8_t i = 1; i <= 3; ++i) voters.push_back(signer_of(i));
        config.cluster.bytes.fill(1);
        config.group.bytes.fill(2);
        config.id = {Epoch(0), 1};
        config.timing = failover::timing_of(failover::TimingProfile::standard);
        for (const auto& voter : voters) {
            config.members.push_back({.node = voter->self()});
        }
        std::sort(config.members.begin(), config.members.end(),
                  [](const auto& a, const auto& b) { return a.node < b.node; });
        token.terms.cluster = config.cluster;
        token.terms.group = config.group;
        token.terms.epoch = Epoch(4);
        token.terms.candidate = voters[0]->self();
        token.terms.nonce = 9;
        token.terms.config = config.id;
        for (const int voter : {0, 1}) {
            token.grants.push_back(
                failover::make_grant(token.terms, true, failover::Policy{}, *voters[voter]));
        }
        write();
    }
    void write() const {
        std::filesystem::create_directories(db + "-tanist");
        Ballot ballot;
        ballot.serial = 1;
        ballot.node = voters[0]->self();
        ballot.promised = Epoch(4);
        ballot.config = config;
        auto store = failover::BallotStore::open(db + "-tanist", ballot.node, false, Epoch(0));
        REQUIRE(store.ok());
        REQUIRE(store->write(ballot, token).ok());
    }
    Outcome tanist(const std::string& arguments) const {
        return shell(dir, kTanist + " token " + arguments);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Elected, "token: show says who holds what and who granted it") {
    const Outcome shown = tanist("show app.db --json");
    REQUIRE_MESSAGE(shown.code == 0, shown.text);
    const auto json = nlohmann::json::parse(shown.text);
    CHECK(json["epoch"] == 4);
    CHECK(json["holder"] == to_string(voters[0]->self()));
    CHECK(json["kind"] == "automatic");
    CHECK(json["grants"].size() == 2);
    CHECK(tanist("show app.db").says(to_string(voters[1]->self())));
}

TEST_CASE_FIXTURE(Elected, "token: verify accepts a quorum, also of a copied file") {
    CHECK(tanist("verify app.db").says("Valid: 2 of 3 voters"));
    std::filesystem::copy_file(db + "-tanist/token", dir.path("copy"));
    CHECK(tanist("verify copy").code == 1);
    const Outcome copied = tanist("verify copy --members app.db --json");
    CHECK_MESSAGE(copied.code == 0, copied.text);
    CHECK(nlohmann::json::parse(copied.text)["valid"] == true);
    CHECK(tanist("verify copy --members app.db-tanist/ballot").code == 0);
}

TEST_CASE_FIXTURE(Elected, "token: verify refuses one whose terms were changed") {
    token.terms.candidate = voters[2]->self();
    write();
    const Outcome refused = tanist("verify app.db");
    CHECK(refused.code == 3);
    CHECK(refused.says("signature is wrong"));
    CHECK(tanist("show app.db").code == 0);
}

TEST_CASE_FIXTURE(Elected, "token: verify refuses one without a majority") {
    token.grants.pop_back();
    write();
    const Outcome refused = tanist("verify app.db --json");
    CHECK(refused.code == 3);
    CHECK(refused.says("no quorum"));
}

TEST_CASE_FIXTURE(Elected, "token: a damaged file and an absent one are told apart") {
    write_text(db + "-tanist/token", "TNTK and no more");
    CHECK(tanist("show app.db").code == 1);
    std::filesystem::remove(db + "-tanist/token");
    const Outcome absent = tanist("verify app.db");
    CHECK(absent.code == 1);
    CHECK(absent.says("no voters have elected a primary"));
}
