#include "replicator/control/invitation.h"

#include <doctest/doctest.h>

#include "replicator/base/file.h"
#include "replicator/base/random.h"
#include "replicator/control/identity.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

InviteSecret new_secret() {
    InviteSecret secret;
    random_bytes(secret.data(), secret.size());
    return secret;
}

struct Open {
    InviteSecret secret = new_secret();
    Invitation invitation{invite_digest(secret), 1000, {}};
};

std::string address_text(const std::string& tail) {
    return "tanist://" + to_string(std::move(Identity::create()).value().key()) + tail;
}

}  // namespace

TEST_CASE("invitation: the right secret is taken, before it expires and once") {
    Open open;
    CHECK(present(&open.invitation, open.secret, 999) == InviteAnswer::taken);
    CHECK(present(&open.invitation, open.secret, 1000) == InviteAnswer::expired);
    open.invitation.used_by = random_id<NodeKey>();
    CHECK(present(&open.invitation, open.secret, 999) == InviteAnswer::used);
    CHECK(say(InviteAnswer::used, &open.invitation).find(to_string(open.invitation.used_by)) !=
          std::string::npos);
}

TEST_CASE("invitation: a guess is wrong, also when the invitation was used") {
    Open open;
    CHECK(present(&open.invitation, new_secret(), 0) == InviteAnswer::wrong_secret);
    open.invitation.used_by = random_id<NodeKey>();
    CHECK(present(&open.invitation, new_secret(), 0) == InviteAnswer::wrong_secret);
    CHECK(present(nullptr, new_secret(), 0) == InviteAnswer::none);
    CHECK(present(&open.invitation, {}, 0) == InviteAnswer::wrong_secret);
}

TEST_CASE("invitation: guesses are answered a few times a minute") {
    InviteFailures failures;
    constexpr int64_t kMinute = 60'000'000'000;
    int answered = 0;
    for (int i = 0; i < 1000; ++i) answered += failures.answer(kMinute * 5 + i) ? 1 : 0;
    CHECK(answered == InviteFailures::kFailuresMax);
    CHECK(failures.answer(kMinute * 6));
}

TEST_CASE("invitation: the file has the digest and not the secret") {
    TempDir dir;
    Open open;
    REQUIRE(write_invitation(dir.path("i"), open.invitation).ok());
    CHECK(read_invitation(dir.path("i")).value() == open.invitation);
    const std::string text = encode_invitation(open.invitation);
    CHECK(text.find(hex(open.secret.data(), open.secret.size())) == std::string::npos);
    CHECK((stat_path(dir.path("i")).value().mode & 0777) == 0600);
    CHECK(read_invitation(dir.path("absent")).error().code == Errc::not_found);
}

TEST_CASE("invitation: a damaged file is corrupt") {
    const std::string good = encode_invitation(Open().invitation);
    REQUIRE(decode_invitation(good).ok());
    for (size_t length = 0; length < good.size(); ++length) {
        CHECK_FALSE(decode_invitation(good.substr(0, length)).ok());
    }
    CHECK_FALSE(decode_invitation(good + "x").ok());
}

TEST_CASE("node_address: it survives being written and read") {
    NodeAddress address;
    address.key = std::move(Identity::create()).value().key();
    address.endpoint = "tcp://db2.example:7400";
    CHECK(parse_node_address(to_string(address)).value() == address);
    address.invite = new_secret();
    CHECK(parse_node_address(to_string(address)).value() == address);
}

TEST_CASE("node_address: what is not whole is refused with the way out") {
    for (const std::string& bad :
         {std::string(""), std::string("tcp://127.0.0.1:7400"), address_text(""), address_text("@"),
          address_text("@host"), address_text("@host:0"), address_text("@host:*"),
          address_text("@host:1?invite="), address_text("@host:1?invite=" + std::string(31, 'a')),
          address_text("@host:1?other=" + std::string(32, 'a')),
          "tanist://" + std::string(64, '0') + "@host:1", std::string("tanist://xyz@host:1")}) {
        CAPTURE(bad);
        Result<NodeAddress> parsed = parse_node_address(bad);
        REQUIRE_FALSE(parsed.ok());
        CHECK(parsed.error().message.find("copy the whole") != std::string::npos);
    }
}
