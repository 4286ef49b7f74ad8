// Who votes, as it is founded, stored and sent.
#include "replicator/node/voter_list.h"

#include <doctest/doctest.h>

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

TEST_CASE("promise file: what is noted is read again in this boot") {
    TempDir dir;
    auto file = PromiseFile::open(dir.path("promise"));
    REQUIRE(file.ok());
    CHECK_FALSE(file->read().has_value());
    const failover::Promise promise{key(7), Epoch(9), Instant{12345}};
    REQUIRE(file->write(promise).ok());
    CHECK(PromiseFile::open(dir.path("promise"))->read() == promise);
}
