#include "replicator/wire/authority.h"

#include <doctest/doctest.h>

#include "tests/support/wire_samples.h"

namespace tanist {
namespace {

const Caller kLocal{};
const Caller kStranger{Caller::Kind::stranger, {}, {}, {}};

Caller member(uint16_t rights) {
    return {Caller::Kind::member, testing::filled<NodeKey>(1), {}, Rights{rights}};
}

const Caller kLeader = member(static_cast<uint16_t>(Right::lead));
const Caller kAdmitter = member(static_cast<uint16_t>(Right::admit));
const Caller kReplica = member(0);

bool may(const Caller& caller, MessageType type, const AuthorityPolicy& policy) {
    return *why_denied(caller, type, policy) == 0;
}

constexpr MessageType kStream[] = {
    MessageType::hello,      MessageType::data,     MessageType::heartbeat, MessageType::sync_begin,
    MessageType::sync_pages, MessageType::sync_end, MessageType::refuse,    MessageType::voters};

}  // namespace

TEST_CASE("authority: in a cluster with keys a stream comes from one who may lead") {
    const AuthorityPolicy keyed{.keyed = true};
    for (MessageType type : kStream) {
        CAPTURE(to_string(type));
        CHECK(may(kLeader, type, keyed));
        CHECK_FALSE(may(kReplica, type, keyed));
        CHECK_FALSE(may(kAdmitter, type, keyed));
        CHECK_FALSE(may(kStranger, type, keyed));
        CHECK_FALSE(may(kLocal, type, keyed));
        CHECK(may(kLocal, type, {}));  // no keys, one machine
    }
}

TEST_CASE("authority: an open door or an invitation lets strangers ask or join, never stream") {
    const AuthorityPolicy open{.inviting = true, .status_strangers = true};
    for (const Message& message : testing::wire_samples()) {
        const MessageType type = type_of(message.body);
        CAPTURE(to_string(type));
        CHECK(may(kStranger, type, open) ==
              (type == MessageType::join || type == MessageType::status_ask));
        CHECK_FALSE(may(kStranger, type, {}));
    }
}

TEST_CASE("authority: joining takes an invitation or the right to admit, and CURVE") {
    CHECK(may(kStranger, MessageType::join, {.inviting = true}));
    CHECK(may(kAdmitter, MessageType::join, {}));
    CHECK_FALSE(may(kLeader, MessageType::join, {}));
    CHECK_FALSE(may(kLocal, MessageType::join, {.inviting = true}));
}

TEST_CASE("authority: the status is for members, and for others by setting") {
    CHECK(may(kReplica, MessageType::status_ask, {}));
    CHECK(may(kLocal, MessageType::status_ask, {}));
    CHECK_FALSE(may(kLocal, MessageType::status_ask, {.status_local = false}));
    CHECK(may(kReplica, MessageType::status_ask, {.status_local = false}));
}

TEST_CASE("authority: an operator's key commands and asks for the status, and nothing else") {
    const Caller anna = member(static_cast<uint16_t>(Right::operate));
    const AuthorityPolicy open{.inviting = true, .status_strangers = true};
    for (const Message& message : testing::wire_samples()) {
        const MessageType type = type_of(message.body);
        CAPTURE(to_string(type));
        CHECK(may(anna, type, open) ==
              (type == MessageType::command || type == MessageType::status_ask));
    }
}

TEST_CASE("authority: a node's key commands nobody, whatever it may do") {
    for (const Caller& caller :
         {kLocal, kStranger, kReplica, kLeader, kAdmitter, member(kRightsKnown)}) {
        CHECK_FALSE(may(caller, MessageType::command, {.inviting = true}));
        CHECK_FALSE(may(caller, MessageType::command, {}));
    }
}

TEST_CASE("authority: a vote is a node's") {
    CHECK(may(kReplica, MessageType::vote, {.keyed = true}));
    CHECK_FALSE(may(kStranger, MessageType::vote, {}));
    CHECK_FALSE(may(kLocal, MessageType::vote, {.keyed = true}));
}

TEST_CASE("authority: answers that nobody asked for are denied to everybody") {
    for (MessageType type : {MessageType::welcome, MessageType::ack, MessageType::need_sync,
                             MessageType::sync_ask, MessageType::status, MessageType::joined,
                             MessageType::members_have, MessageType::new_key}) {
        CAPTURE(to_string(type));
        for (const Caller& caller : {kLocal, kStranger, member(kRightsKnown)}) {
            CHECK_FALSE(may(caller, type, {.inviting = true, .status_strangers = true}));
        }
    }
}

TEST_CASE("authority: a hello of another node than the key's is forged") {
    Hello hello;
    hello.node = kLeader.node;
    CHECK(*why_forged(kLeader, Body(hello)) == 0);
    hello.node = testing::filled<NodeKey>(77);
    CHECK(*why_forged(kLeader, Body(hello)) != 0);
    CHECK(*why_forged(kLocal, Body(hello)) == 0);  // no key to compare with
    CHECK(*why_forged(kLeader, Body(StatusAsk{})) == 0);
}

TEST_CASE("authority: a vote, or a list of voters, in another node's name is forged") {
    const NodeKey other = testing::filled<NodeKey>(77);
    CHECK(*why_forged(kReplica, Body(Vote{kReplica.node, {}})) == 0);
    CHECK(*why_forged(kReplica, Body(Vote{other, {}})) != 0);
    CHECK(*why_forged(kReplica, Body(Voters{kReplica.node, {}})) == 0);
    CHECK(*why_forged(kReplica, Body(Voters{other, {}})) != 0);
}

}  // namespace tanist
