// Who votes, as it is founded, stored and sent.
#include "replicator/node/voter_list.h"

#include <doctest/doctest.h>

#include "failover/core/epoch_parts.h"
#include "replicator/node/promise_file.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

NodeKey key(uint8_t first) {
    NodeKey made;
    made.bytes[0] = first;
    return made;
}

VoterFacts voter(uint8_t first, bool witness = false) {
    const std::string name(1, static_cast<char>('a' + first));
    return {.address = {key(first), first % 2 == 0, name, "ipc:///run/" + name + ".sock"},
            .priority = 100,
            .witness = witness,
            .nofailover = false};
}

Result<VoterList> found(const Settings& settings, std::vector<VoterFacts> voters) {
    ClusterId cluster;
    cluster.bytes[0] = 1;
    GroupId group;
    group.bytes[0] = 2;
    return found_voters(cluster, group, {Epoch(0), 1}, settings, std::move(voters));
}

Settings waits_for(const std::string& ack) {
    Settings settings;
    REQUIRE(apply_setting(settings, "ack", ack).ok());
    return settings;
}

}  // namespace

TEST_CASE("voter list: what is stored is what is read") {
    TempDir dir;
    const auto list = found(waits_for("durable:1"), {voter(3), voter(1), voter(2, true)});
    REQUIRE(list.ok());
    CHECK(read_voter_list(dir.path("voters"))->has_value() == false);
    REQUIRE(write_voter_list(dir.path("voters"), *list).ok());
    const auto read = read_voter_list(dir.path("voters"));
    REQUIRE(read.ok());
    CHECK(**read == *list);
    CHECK((*read)->at("ipc:///run/b.sock")->node == key(1));
}

TEST_CASE("voter list: a voter that has a new key is the same in everything else") {
    const VoterList before =
        found(waits_for("durable:1"), {voter(3), voter(1), voter(2, true)}).value();
    for (const VoterAddress& old : before.addresses) {
        VoterList after = before;
        NodeKey fresh = old.node;
        fresh.bytes[0] = static_cast<uint8_t>(fresh.bytes[0] ^ 0xff);  // sorted elsewhere
        replace_voter(after, old.node, fresh);
        CHECK(failover::why_invalid(after.config).empty());
        CHECK(after.find(old.node) == nullptr);
        REQUIRE(after.find(fresh) != nullptr);
        CHECK(after.find(fresh)->endpoint == old.endpoint);
        CHECK(decode_voter_list(encode(after)).ok());  // members and addresses in one order
        replace_voter(after, fresh, old.node);
        CHECK(after == before);
    }
}

TEST_CASE("voter list: a newer config finds its addresses in an older list, or none at all") {
    const VoterList old = found(waits_for("durable:1"), {voter(1), voter(2), voter(3)}).value();
    VoterList forced = old;
    forced.config.members.erase(forced.config.members.begin());
    forced.addresses.erase(forced.addresses.begin());
    CHECK(list_of(forced.config, old) == forced);
    failover::Config larger = old.config;
    larger.members.push_back({.node = key(9)});
    CHECK_FALSE(list_of(larger, old).has_value());
}

TEST_CASE("voter list: every flipped bit and every missing byte is found") {
    const Bytes good = encode(*found(waits_for("durable:1"), {voter(1), voter(2), voter(3)}));
    for (size_t at = 0; at < good.size(); ++at) {
        Bytes bad = good;
        bad[at] ^= 0x04;
        CHECK_FALSE(decode_voter_list(bad).ok());
        CHECK_FALSE(decode_voter_list(ByteView(good).first(at)).ok());
    }
}

TEST_CASE("voter list: the confirmations that elections count on are those of `ack`") {
    const std::vector<VoterFacts> three = {voter(1), voter(2), voter(3)};
    CHECK(found(waits_for("durable:2"), three)->config.sync_k == 2);
    CHECK(found(waits_for("durable:majority"), three)->config.sync_k == 1);
    CHECK(found(waits_for("async"), three)->config.sync_k == 0);
    CHECK_FALSE(found(waits_for("received:1"), three).ok());
    // A witness confirms nothing.
    CHECK_FALSE(found(waits_for("durable:2"), {voter(1), voter(2), voter(3, true)}).ok());
}

// With less than it was founded with, the group elects nobody by itself.
TEST_CASE("voter list: k that a force lowered rises to the primary's ack, as the members allow") {
    const AckRule two = waits_for("durable:2").commit.rule;
    VoterList list = found(waits_for("async"), {voter(1), voter(2), voter(3)}).value();
    CHECK_FALSE(with_k_again(list, two).has_value());  // it was founded so
    list.config.id.epoch = *failover::forced_epoch(Epoch(7), 5);
    CHECK(with_k_again(list, two)->config.sync_k == 2);
    CHECK_FALSE(with_k_again(list, waits_for("async").commit.rule).has_value());
    list.config.members.back().witness = true;
    const auto raised = with_k_again(list, two);
    CHECK(raised->config.sync_k == 1);
    CHECK_FALSE(with_k_again(*raised, two).has_value());
}

TEST_CASE("promise file: what is noted is read again in this boot") {
    TempDir dir;
    auto file = PromiseFile::open(dir.path("promise"));
    REQUIRE(file.ok());
    CHECK_FALSE(file->read().has_value());
    const failover::Promise promise{key(7), Epoch(9), Instant{12345}};
    REQUIRE(file->write(promise).ok());
    CHECK(PromiseFile::open(dir.path("promise"))->read() == promise);
}

// -- who belongs to the cluster, for a node that is elected

namespace {

Member member_of(const VoterList& list, uint8_t first) {
    const VoterAddress* address = list.find(key(first));
    return {.name = address->name,
            .endpoint = address->endpoint,
            .key = address->secured ? address->node : NodeKey{},
            .witness = list.config.find(address->node)->witness};
}

MemberList keys_of(std::initializer_list<uint8_t> known) {
    MemberList list;
    list.version = 1;
    for (const uint8_t first : known) {
        list.nodes.push_back(
            {.name = {}, .endpoint = {}, .key = key(first), .old_key = {}, .rights = {}});
    }
    return list;
}

VoterList four() {
    return found(waits_for("durable:1"), {voter(2), voter(3), voter(4), voter(6, true)}).value();
}

}  // namespace

TEST_CASE("voter list: a voter that an old roster lacks belongs to the cluster") {
    const VoterList list = four();
    const std::vector<Member> old = {member_of(list, 2), member_of(list, 3)};
    std::vector<Member> expected = old;
    expected.push_back(member_of(list, 4));
    expected.push_back(member_of(list, 6));
    CHECK(members_under(list, old, {}) == expected);
    CHECK(members_under(list, expected, {}) == expected);
}

TEST_CASE("voter list: a member that waits for its vote still belongs to the cluster") {
    const VoterList list = four();
    std::vector<Member> held = members_under(list, {}, {});
    held.push_back({.name = "new", .endpoint = "ipc:///run/new.sock", .key = {}});
    CHECK(members_under(list, held, {}) == held);
}

// Whoever removes a member takes its key off first; the voters follow.
TEST_CASE("voter list: a node whose key was taken off belongs to the cluster no more") {
    const VoterList list = four();
    const MemberList keys = keys_of({2, 6});  // 3 has no key, 4 was taken off
    for (const bool heard_of : {false, true}) {
        std::vector<Member> held = {member_of(list, 2)};
        if (heard_of) held.push_back(member_of(list, 4));
        const std::vector<Member> expected = {member_of(list, 2), member_of(list, 3),
                                              member_of(list, 6)};
        CHECK(members_under(list, held, keys) == expected);
    }
}

// -- changes of two holders that do not know of each other

namespace {

// Every list that differs from `voters` (a set of bits) by one of `all` voters.
std::vector<uint32_t> neighbours_of(uint32_t voters, int all) {
    std::vector<uint32_t> lists;
    for (int i = 0; i < all; ++i) {
        if (const uint32_t changed = voters ^ (1u << i); changed != 0) lists.push_back(changed);
    }
    return lists;
}

bool is_majority_of(uint32_t voters, uint32_t some) {
    return 2 * __builtin_popcount(voters & some) > __builtin_popcount(voters);
}

// Whether two majorities of the two lists have nobody in common.
bool majorities_may_miss(uint32_t one, uint32_t other, int all) {
    for (uint32_t some = 0; some < 1u << all; ++some) {
        if (is_majority_of(one, some) && is_majority_of(other, ~some)) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("voter list: a holder makes the list of another one anew before it changes it") {
    const VoterList now = four();
    VoterList wanted = now;
    replace_voter(wanted, key(4), key(5));
    const failover::ConfigId own = now.config.id;
    const VoterList mine = step_towards(wanted, now, Epoch(7), own);
    CHECK(mine.addresses == wanted.addresses);
    CHECK(mine.config.id == failover::ConfigId{Epoch(7), own.version + 1});
    const VoterList others = step_towards(wanted, now, Epoch(7), {Epoch(3), 9});
    CHECK(others.addresses == now.addresses);
    CHECK(others.config.id == mine.config.id);
    CHECK(step_towards(wanted, others, Epoch(8), others.config.id).addresses == wanted.addresses);
}

// Why: over every group of up to six voters, and every pair of changes that two holders make of it.
TEST_CASE("voter list: only a majority that holds the newer list keeps two changes apart") {
    constexpr int kAll = 7;
    bool missed = false;
    for (uint32_t voters = 1; voters < 1u << (kAll - 1); ++voters) {
        for (const uint32_t first : neighbours_of(voters, kAll)) {
            // Who holds `voters` made anew elects nobody under `first`, which is older.
            CHECK_FALSE(majorities_may_miss(voters, first, kAll));
            for (const uint32_t second : neighbours_of(voters, kAll)) {
                missed = missed || majorities_may_miss(first, second, kAll);
            }
        }
    }
    CHECK(missed);
}
