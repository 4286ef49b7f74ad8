// One message of every type, with every field set: for round trips, golden files and fuzz seeds.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "replicator/wire/message.h"

namespace tanist::testing {

template <class Id>
Id filled(uint8_t from) {
    Id id;
    for (auto& byte : id.bytes) byte = from++;
    return id;
}

using InviteBytes = Id128<struct InviteTag>;

inline Bytes counted(size_t count) {
    Bytes bytes(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 256);
    return bytes;
}

inline bool names_a_sync(const Body& body) {
    return std::holds_alternative<SyncBegin>(body) || std::holds_alternative<Ack>(body);
}

inline std::vector<Message> wire_samples() {
    static const Bytes chunk = counted(300);
    static const Bytes images = counted(3 * 512);
    Envelope envelope;
    envelope.session = 0x1122334455667788;
    envelope.epoch = Epoch(7);
    envelope.lsn = Lsn(104512);
    Position end{Epoch(7), Lsn(104512)};

    Hello hello{.capabilities = 5,
                .cluster = filled<ClusterId>(1),
                .group = filled<GroupId>(33),
                .node = filled<NodeKey>(65),
                .name = "app.db",
                .page_bytes = 4096,
                .db_pages = 1000,
                .log_first = Lsn(90000),
                .end = end,
                .end_chain = filled<Chain>(97)};
    Welcome welcome{.capabilities = 5,
                    .cluster = filled<ClusterId>(1),
                    .group = filled<GroupId>(33),
                    .node = filled<NodeKey>(129),
                    .name = "replica.db",
                    .state = ReplicaState::following,
                    .end = end,
                    .end_chain = filled<Chain>(97),
                    .durable = Lsn(104511),
                    .applied = Lsn(104510),
                    .credit = 8u << 20};
    std::vector<Body> bodies{
        hello,
        welcome,
        Refuse{RefuseCode::stale_epoch, "a primary of epoch 8 has been here"},
        Data{Lsn(104500), chunk},
        Heartbeat{1'700'000'000'000'000'000, end, Lsn(104500), 123456789},
        Ack{Lsn(104512), Lsn(104511), Lsn(104510), 9u << 20, 1'700'000'000'000'000'000},
        NeedSync{"a rebase record"},
        SyncBegin{end, filled<Chain>(97), 4096, 1000},
        SyncAsk{3, 4097, 4096, {filled<Hash128>(1), filled<Hash128>(2)}},
        SyncPages{3, true, 512, {4097, 4099, 5000}, images},
        SyncEnd{end, 1000},
        StatusAsk{},
        StatusText{"{\"role\":\"replica\"}"},
        Join{filled<InviteBytes>(1).bytes, filled<NodeKey>(65), counted(200)},
        Joined{filled<NodeKey>(129), "replica.db"},
        MembersList{counted(200)},
        MembersHave{12},
        NewKey{filled<NodeKey>(65), filled<Signature>(1), filled<Signature>(101)},
        Command{"{\"command\":\"fence\"}"},
        CommandResult{"{\"done\":true}"},
        HistoryAsk{Lsn(104500)},
        History{Lsn(104500), true, {Epoch(6), Lsn(104500)}, filled<Chain>(97)},
        Roster{"version = 1\n"},
        Vote{filled<NodeKey>(65), counted(50)},
        Voters{filled<NodeKey>(65), counted(60)},
        VotersHave{filled<NodeKey>(65), Epoch(7), 3, 100, true, true}};
    std::vector<Message> messages;
    for (Body& body : bodies) {
        Message message{envelope, std::move(body)};
        if (std::holds_alternative<Data>(message.body)) {
            message.envelope.offset = 512;
            message.envelope.flags = kDataLast;
        }
        if (names_a_sync(message.body)) message.envelope.offset = 2;
        messages.push_back(std::move(message));
    }
    return messages;
}

}  // namespace tanist::testing
