#include "replicator/control/node_file.h"

#include <doctest/doctest.h>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "replicator/base/random.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

Errc code_of(const std::string& text) {
    TempDir dir;
    REQUIRE(replace_file(dir.path("node"), view_of(text)).ok());
    Result<NodeFile> node = read_node_file(dir.path("node"));
    REQUIRE_FALSE(node.ok());
    return node.error().code;
}

}  // namespace

TEST_CASE("node_file: what is written is read") {
    TempDir dir;
    NodeFile node;
    node.role = Role::primary;
    node.cluster = random_id<ClusterId>();
    node.group = random_id<GroupId>();
    node.epoch = Epoch(7);
    node.boot = "0011aabb";
    REQUIRE(write_node_file(dir.path("node"), node).ok());
    Result<NodeFile> again = read_node_file(dir.path("node"));
    REQUIRE(again.ok());
    CHECK(*again == node);
}

// A demotion that a crash cut short goes on from this.
TEST_CASE("node_file: a fenced node remembers who superseded it, and what is not finished") {
    TempDir dir;
    NodeFile node;
    node.role = Role::fenced;
    node.cluster = random_id<ClusterId>();
    node.group = random_id<GroupId>();
    node.epoch = Epoch(7);
    node.superseded_by = Epoch(uint64_t{1} << 48);
    node.mark_pending = true;
    REQUIRE(write_node_file(dir.path("node"), node).ok());
    Result<NodeFile> again = read_node_file(dir.path("node"));
    REQUIRE(again.ok());
    CHECK(*again == node);
}

TEST_CASE("node_file: an absent file is not_found, not a replica") {
    TempDir dir;
    Result<NodeFile> node = read_node_file(dir.path("node"));
    REQUIRE_FALSE(node.ok());
    CHECK(node.error().code == Errc::not_found);
}

TEST_CASE("node_file: a later version is refused") {
    CHECK(code_of("version = 2\nrole = \"primary\"\n") == Errc::version);
}

TEST_CASE("node_file: damage is never taken for a role") {
    CHECK(code_of("") == Errc::version);
    CHECK(code_of("version = 1\n") == Errc::corrupt);
    CHECK(code_of("version = 1\nrole = \"king\"\n") == Errc::corrupt);
    CHECK(code_of("version = 1\nrole = \"primary\"\ngroup = \"12\"\n") == Errc::corrupt);
    CHECK(code_of("version = 1\nrole = \"primary\"\nepoch = -1\n") == Errc::corrupt);
    CHECK(code_of("version = 1\nrole = 3\n") == Errc::invalid);
    CHECK(code_of("version = 1\nrole = \"primary\"\nfoo = 3\n") == Errc::invalid);
}
