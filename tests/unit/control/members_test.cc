#include "replicator/control/members.h"

#include <doctest/doctest.h>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "replicator/base/limits.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

Member at_port(int port) { return {"", "tcp://127.0.0.1:" + std::to_string(port), {}}; }

}  // namespace

TEST_CASE("members: an absent file means nobody") {
    TempDir dir;
    CHECK(read_members(dir.path("members")).value().empty());
}

TEST_CASE("members: what is written is read") {
    TempDir dir;
    std::vector<Member> members;
    REQUIRE(add_member(members, at_port(7401)).ok());
    Member quoted{"odd\"na\\me", "ipc:///run/a \"b\".sock", {}};
    quoted.key.bytes.fill(0xa5);
    REQUIRE(add_member(members, quoted).ok());
    REQUIRE(write_members(dir.path("members"), members).ok());
    CHECK(read_members(dir.path("members")).value() == members);
}

TEST_CASE("members: a member without a name has its address as name") {
    std::vector<Member> members;
    REQUIRE(add_member(members, at_port(7401)).ok());
    CHECK(members[0].name == "127.0.0.1:7401");
}

TEST_CASE("members: nobody is there twice") {
    std::vector<Member> members;
    REQUIRE(add_member(members, at_port(7401)).ok());
    CHECK(add_member(members, at_port(7401)).error().code == Errc::refused);
    CHECK(add_member(members, {"127.0.0.1:7401", "tcp://127.0.0.1:9", {}}).error().code ==
          Errc::refused);
    CHECK(members.size() == 1);
}

TEST_CASE("members: an endpoint without a real port or of another machine is not added") {
    std::vector<Member> members;
    CHECK(add_member(members, {"", "tcp://127.0.0.1:*", {}}).error().code == Errc::invalid);
    CHECK(add_member(members, {"", "tcp://10.0.0.1:7401", {}}).error().code == Errc::refused);
    CHECK(add_member(members, {"two words", "tcp://127.0.0.1:1", {}}).error().code ==
          Errc::invalid);
    CHECK(members.empty());
}

TEST_CASE("members: there is a bound") {
    std::vector<Member> members;
    for (size_t i = 0; i < limits::kMembersMax; ++i) {
        REQUIRE(add_member(members, at_port(1000 + static_cast<int>(i))).ok());
    }
    CHECK(add_member(members, at_port(999)).error().code == Errc::refused);
}

TEST_CASE("members: removal is by name or endpoint") {
    std::vector<Member> members;
    REQUIRE(add_member(members, at_port(1)).ok());
    REQUIRE(add_member(members, at_port(2)).ok());
    CHECK(remove_member(members, "127.0.0.1:1").ok());
    CHECK(remove_member(members, "tcp://127.0.0.1:2").ok());
    CHECK(members.empty());
    CHECK(remove_member(members, "127.0.0.1:1").error().code == Errc::not_found);
}

TEST_CASE("members: a complaint about the file names its line") {
    TempDir dir;
    std::string path = dir.path("members");
    REQUIRE(replace_file(path, view_of("[[member]]\nendpoint = \"x\"\ncolour = \"red\"\n")).ok());
    Result<std::vector<Member>> members = read_members(path);
    REQUIRE_FALSE(members.ok());
    CHECK(members.error().message == path + ":3: unknown field colour");
}
