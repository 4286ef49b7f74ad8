#include "replicator/control/identity.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

TEST_CASE("identity: it is made once and stays the same") {
    TempDir dir;
    Result<NodeKey> first = load_or_create_identity(dir.path("identity"));
    REQUIRE(first.ok());
    CHECK_FALSE(first->is_zero());
    CHECK(load_or_create_identity(dir.path("identity")).value() == *first);
    CHECK_FALSE(load_or_create_identity(dir.path("other")).value() == *first);
}

TEST_CASE("identity: only its owner can read it") {
    TempDir dir;
    std::string path = dir.path("identity");
    REQUIRE(load_or_create_identity(path).ok());
    CHECK((stat_path(path).value().mode & 0777) == 0600);
    std::filesystem::permissions(path, std::filesystem::perms(0640));
    CHECK(load_or_create_identity(path).error().code == Errc::refused);
}

// A damaged identity must not be replaced silently: the node would be a stranger to its cluster.
TEST_CASE("identity: a damaged file is corrupt and is left alone") {
    TempDir dir;
    std::string path = dir.path("identity");
    REQUIRE(load_or_create_identity(path).ok());
    Bytes bytes = read_file(path, 4096).value();
    bytes[20] = 'z';
    REQUIRE(replace_file(path, bytes).ok());
    CHECK(load_or_create_identity(path).error().code == Errc::corrupt);
    CHECK(read_file(path, 4096).value() == bytes);
}

TEST_CASE("identity: the CURVE key that others derive from the public key is our own") {
    const Identity identity = std::move(Identity::create()).value();
    CHECK(curve_key_of(identity.key()) == identity.curve().open);
    CHECK_FALSE(curve_key_of(NodeKey{}));
}

TEST_CASE("identity: what one signs, another verifies, and only that") {
    const Identity identity = std::move(Identity::create()).value();
    const Signature signature = identity.sign(view_of("text"));
    CHECK(verify(identity.key(), view_of("text"), signature));
    CHECK_FALSE(verify(identity.key(), view_of("Text"), signature));
    CHECK_FALSE(verify(std::move(Identity::create()).value().key(), view_of("text"), signature));
}

TEST_CASE("identity: what is saved is loaded") {
    TempDir dir;
    const Identity identity = std::move(Identity::create()).value();
    REQUIRE(identity.save(dir.path("identity")).ok());
    const Result<Identity> loaded = Identity::load(dir.path("identity"));
    REQUIRE(loaded.ok());
    CHECK(loaded->key() == identity.key());
    CHECK(loaded->curve().secret == identity.curve().secret);
    CHECK(Identity::load(dir.path("absent")).error().code == Errc::not_found);
}
