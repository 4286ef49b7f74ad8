#include "replicator/control/key_rotation.h"

#include <doctest/doctest.h>

#include "replicator/base/random.h"

using namespace tanist;

namespace {

NodeKey new_key() { return std::move(Identity::create()).value().key(); }

struct Rotation {
    NodeKey before = new_key();
    NodeKey after = new_key();
    MemberList list;
    Rotation() {
        REQUIRE(add_listed(
                    list, {.name = "a", .endpoint = "", .key = before, .old_key = {}, .rights = {}})
                    .ok());
        REQUIRE(
            add_listed(list,
                       {.name = "b", .endpoint = "", .key = new_key(), .old_key = {}, .rights = {}})
                .ok());
    }
};

}  // namespace

TEST_CASE("key_rotation: both keys name the node in between, and only the new one after it") {
    Rotation r;
    REQUIRE(begin_rotation(r.list, r.before, r.after).ok());
    CHECK(r.list.node_of(r.before) == r.list.node_of(r.after));
    CHECK(r.list.node_of(r.before) != nullptr);
    CHECK(end_rotation(r.list, r.after));
    CHECK(r.list.node_of(r.before) == nullptr);
    CHECK_FALSE(end_rotation(r.list, r.after));
}

TEST_CASE("key_rotation: one at a time, of a node that is there, to a key that nobody has") {
    Rotation r;
    CHECK(begin_rotation(r.list, new_key(), r.after).error().code == Errc::refused);
    CHECK(begin_rotation(r.list, r.before, r.list.nodes[1].key).error().code == Errc::refused);
    CHECK(begin_rotation(r.list, r.before, NodeKey{}).error().code == Errc::refused);
    REQUIRE(begin_rotation(r.list, r.before, r.after).ok());
    CHECK(begin_rotation(r.list, r.after, new_key()).error().code == Errc::refused);
}

TEST_CASE("key_rotation: the statement is of one cluster and one pair of keys") {
    const auto cluster = random_id<ClusterId>();
    const NodeKey a = new_key();
    const NodeKey b = new_key();
    const Bytes statement = new_key_statement(cluster, a, b);
    CHECK(statement != new_key_statement(cluster, b, a));
    CHECK(statement != new_key_statement(random_id<ClusterId>(), a, b));
}
