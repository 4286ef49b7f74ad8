#include "replicator/control/member_list.h"

#include <doctest/doctest.h>

#include "replicator/base/file.h"
#include "replicator/base/random.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

constexpr Rights kLeader{7};

Identity someone() { return std::move(Identity::create()).value(); }

ListedNode node_with(const Identity& identity, const std::string& name, Rights rights = {}) {
    return {.name = name,
            .endpoint = "tcp://" + name + ":7400",
            .key = identity.key(),
            .old_key = {},
            .rights = rights};
}

// A cluster of a leader and one replica.
struct Lists {
    Identity leader = someone();
    Identity replica = someone();
    MemberList list;
    Lists() {
        list.cluster = random_id<ClusterId>();
        REQUIRE(add_listed(list, node_with(leader, "leader", kLeader)).ok());
        REQUIRE(add_listed(list, node_with(replica, "replica")).ok());
        sign_list(list, leader);
    }
    // The list as `by` would change it.
    MemberList next(const Identity& by) const {
        MemberList changed = list;
        REQUIRE(add_listed(changed, node_with(someone(), "third")).ok());
        sign_list(changed, by);
        return changed;
    }
};

bool refused(const MemberList& held, const MemberList& offered, const std::string& because) {
    const std::string why = why_list_refused(held, offered, {});
    CAPTURE(why);
    return why.find(because) != std::string::npos && !because.empty();
}

}  // namespace

TEST_CASE("member_list: what is written is read, and what is encoded is decoded") {
    TempDir dir;
    Lists lists;
    REQUIRE(write_member_list(dir.path("l"), lists.list).ok());
    CHECK(read_member_list(dir.path("l")).value() == lists.list);
    CHECK(decode_member_list(encode_member_list(lists.list)).value() == lists.list);
    CHECK(read_member_list(dir.path("absent")).value().version == 0);
}

TEST_CASE("member_list: a newer list of one who may admit is taken") {
    Lists lists;
    CHECK(why_list_refused(lists.list, lists.next(lists.leader), {}) == "");
}

TEST_CASE("member_list: nobody gives himself a right, and a stranger signs nothing") {
    Lists lists;
    CHECK(refused(lists.list, lists.next(lists.replica), "may not admit"));
    CHECK(refused(lists.list, lists.next(someone()), "may not admit"));
    // By the new list the replica may; what counts is the one that is held.
    MemberList usurped = lists.list;
    usurped.nodes[1].rights = kLeader;
    sign_list(usurped, lists.replica);
    CHECK(refused(lists.list, usurped, "may not admit"));
}

TEST_CASE("member_list: an old list, the same again, or one of another cluster is refused") {
    Lists lists;
    const MemberList newer = lists.next(lists.leader);
    CHECK(refused(newer, lists.list, "holds version 2"));
    CHECK(refused(lists.list, lists.list, "holds version 1"));
    MemberList other = newer;
    other.cluster = random_id<ClusterId>();
    sign_list(other, lists.leader);
    CHECK(refused(lists.list, other, "another cluster"));
}

TEST_CASE("member_list: every byte is covered by the signature") {
    Lists lists;
    const Bytes good = encode_member_list(lists.next(lists.leader));
    for (size_t at = 0; at < good.size(); ++at) {
        Bytes bad = good;
        bad[at] ^= 1;
        Result<MemberList> decoded = decode_member_list(bad);
        CAPTURE(at);
        CHECK((!decoded.ok() || !why_list_refused(lists.list, *decoded, {}).empty()));
    }
}

TEST_CASE("member_list: cut anywhere, or longer, it is corrupt") {
    const Bytes good = encode_member_list(Lists().list);
    for (size_t length = 0; length < good.size(); ++length) {
        CHECK_FALSE(decode_member_list(ByteView(good).first(length)).ok());
    }
    Bytes longer = good;
    longer.push_back(0);
    CHECK_FALSE(decode_member_list(longer).ok());
}

TEST_CASE("member_list: the first list must come from the one who was invited") {
    Lists lists;
    CHECK(why_list_refused({}, lists.list, lists.leader.key()) == "");
    CHECK(why_list_refused({}, lists.list, someone().key()) != "");
    CHECK(why_list_refused({}, lists.list, NodeKey{}) != "");
}

TEST_CASE("member_list: during a rotation both keys are one node, and afterwards only the new") {
    Lists lists;
    const Identity fresh = someone();
    MemberList rotating = lists.list;
    rotating.nodes[0].old_key = lists.leader.key();
    rotating.nodes[0].key = fresh.key();
    sign_list(rotating, lists.leader);
    CHECK(why_list_refused(lists.list, rotating, {}) == "");
    CHECK(rotating.allowed().size() == 3);
    CHECK(rotating.rights_of(lists.leader.key()) == kLeader);
    MemberList done = rotating;
    done.nodes[0].old_key = {};
    sign_list(done, fresh);
    CHECK(why_list_refused(rotating, done, {}) == "");
    MemberList late = done;
    sign_list(late, lists.leader);
    CHECK(refused(done, late, "may not admit"));
}

TEST_CASE("member_list: names, keys and endpoints are there once") {
    Lists lists;
    CHECK(add_listed(lists.list, node_with(someone(), "leader")).error().code == Errc::refused);
    CHECK(add_listed(lists.list, node_with(lists.replica, "x")).error().code == Errc::refused);
    ListedNode taken = node_with(someone(), "y");
    taken.endpoint = "tcp://replica:7400";
    CHECK(add_listed(lists.list, taken).error().code == Errc::refused);
    ListedNode keyless;
    keyless.name = "z";
    CHECK(add_listed(lists.list, keyless).error().code == Errc::invalid);
    ListedNode wrong = node_with(someone(), "two words");
    CHECK(add_listed(lists.list, wrong).error().code == Errc::invalid);
    ListedNode mighty = node_with(someone(), "m");
    mighty.rights.bits = 0x100;
    CHECK(add_listed(lists.list, mighty).error().code == Errc::invalid);
}

TEST_CASE("member_list: a file that somebody changed is corrupt") {
    TempDir dir;
    Lists lists;
    Bytes bytes = encode_member_list(lists.list);
    bytes[60] ^= 1;  // within a key or a name
    REQUIRE(replace_file(dir.path("l"), bytes).ok());
    CHECK(read_member_list(dir.path("l")).error().code == Errc::corrupt);
}
