#include "replicator/receive/receiver.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <variant>

#include "replicator/base/hash.h"
#include "replicator/log/record.h"

using namespace tanist;

namespace {

// A replica that has seen epoch 5 and belongs to a cluster, and what it answers to a HELLO.
struct ReceiverFixture {
    ClusterId cluster{{1}};
    GroupId group{{2}};
    std::vector<ReceiverAction> actions;

    Receiver receiver{start()};

    ReceiverStart start() const {
        ReceiverStart start;
        start.cluster = cluster;
        start.group = group;
        start.epoch = Epoch(5);
        start.state = ReplicaState::following;
        return start;
    }

    void hello(uint64_t epoch, GroupId from_group) {
        Hello hello;
        hello.cluster = cluster;
        hello.group = from_group;
        hello.node.bytes.fill(9);
        Envelope envelope;
        envelope.type = MessageType::hello;
        envelope.session = 77;
        envelope.epoch = Epoch(epoch);
        actions = receiver.step(receiver_event::Received{1, envelope, hello}, Instant{1});
    }
    // From a socket of that number.
    void sync_begin(LinkId from, uint64_t number) {
        Envelope envelope;
        envelope.type = MessageType::sync_begin;
        envelope.session = 77;
        envelope.epoch = Epoch(5);
        envelope.offset = number;
        const SyncBegin begin{{Epoch(5), Lsn(100)}, {}, 512, 10};
        actions = receiver.step(receiver_event::Received{from, envelope, begin}, Instant{1});
    }
    template <class T>
    const T* does() const {
        for (const ReceiverAction& action : actions) {
            if (const T* found = std::get_if<T>(&action)) return found;
        }
        return nullptr;
    }
    bool begins_a_sync() const { return does<receiver_action::BeginSyncLog>() != nullptr; }
    // The sync's log is there, and begins behind record 100.
    void open_sync(uint64_t number) {
        sync_begin(3, number);
        const auto* begin = does<receiver_action::BeginSyncLog>();
        REQUIRE(begin != nullptr);
        actions = receiver.step(receiver_event::SyncLogBegun{begin->number}, Instant{1});
    }
    // Everything of the sync has come, and is in the database.
    void install() {
        Envelope envelope;
        envelope.session = 77;
        envelope.epoch = Epoch(5);
        receiver.step(receiver_event::SyncAskedAll{}, Instant{1});
        receiver.step(receiver_event::Received{3, envelope, SyncEnd{{Epoch(5), Lsn(100)}, 10}},
                      Instant{1});
        const LogPoint at{{Epoch(5), Lsn(100)}, {}};
        actions = receiver.step(receiver_event::SyncInstalled{at}, Instant{1});
    }
    // A whole record, by a primary that said hello; its log has taken it.
    void record(uint16_t flags, RecordKind kind = RecordKind::epoch) {
        RecordHeader header;
        header.kind = kind;
        header.group = group;
        header.epoch = Epoch(5);
        header.lsn = Lsn(1);
        header.payload_hash = hash128({});
        std::array<uint8_t, kRecordHeaderBytes> bytes;
        seal_record(header, bytes);
        Envelope envelope;
        envelope.type = MessageType::data;
        envelope.flags = kDataLast | flags;
        envelope.session = 77;
        envelope.epoch = Epoch(5);
        envelope.lsn = Lsn(1);
        actions =
            receiver.step(receiver_event::Received{1, envelope, Data{Lsn(0), bytes}}, Instant{3});
        if (kind == RecordKind::rebase) return;
        actions = receiver.step(
            receiver_event::Appended{header.lsn, header.record_bytes(), header.chain}, Instant{4});
    }
    void open_session() {
        hello(5, group);
        actions = receiver.step(receiver_event::AppendAbandoned{LogPoint{}}, Instant{2});
        receiver.step(receiver_event::Durable{Lsn(0)}, Instant{2});  // acknowledged just now
    }
    template <class T>
    const T* sent(Envelope* envelope = nullptr) const {
        for (const ReceiverAction& action : actions) {
            auto* send = std::get_if<receiver_action::Send>(&action);
            if (send == nullptr || !std::holds_alternative<T>(send->message.body)) continue;
            if (envelope != nullptr) *envelope = send->message.envelope;
            return &std::get<T>(send->message.body);
        }
        return nullptr;
    }
};

}  // namespace

// FENCED: the answer carries the higher epoch, by which the sender learns that it is over.
TEST_CASE_FIXTURE(ReceiverFixture, "receiver: a lower epoch is refused with the higher one") {
    hello(4, group);
    Envelope envelope;
    const Refuse* refuse = sent<Refuse>(&envelope);
    REQUIRE(refuse != nullptr);
    CHECK(refuse->code == RefuseCode::stale_epoch);
    CHECK(envelope.epoch == Epoch(5));
    CHECK(sent<Welcome>() == nullptr);
}

TEST_CASE_FIXTURE(ReceiverFixture, "receiver: a higher epoch is made durable before the welcome") {
    hello(6, group);
    CHECK(sent<Welcome>() == nullptr);
    REQUIRE(actions.size() == 1);
    CHECK(std::get<receiver_action::PersistEpoch>(actions[0]).epoch == Epoch(6));
    receiver.step(receiver_event::EpochDurable{Epoch(6)}, Instant{2});
    // What an earlier session began is dropped first.
    actions = receiver.step(receiver_event::AppendAbandoned{LogPoint{}}, Instant{3});
    CHECK(sent<Welcome>() != nullptr);
}

TEST_CASE_FIXTURE(ReceiverFixture, "receiver: another group's primary is refused") {
    hello(5, GroupId{{3}});
    const Refuse* refuse = sent<Refuse>();
    REQUIRE(refuse != nullptr);
    CHECK(refuse->code == RefuseCode::other_group);
}

TEST_CASE_FIXTURE(ReceiverFixture, "receiver: a refusal is shown until a minute after the last") {
    hello(5, GroupId{{3}});
    CHECK(receiver.view().refusal.find("holds another database") != std::string::npos);
    receiver.step(receiver_event::Tick{}, Instant{kRefusalShown.count()});
    CHECK(receiver.view().refusal != "");
    receiver.step(receiver_event::Tick{}, Instant{1 + kRefusalShown.count()});
    CHECK(receiver.view().refusal == "");
}

TEST_CASE_FIXTURE(ReceiverFixture,
                  "receiver: a receipt that is wanted is told before the disk is") {
    open_session();
    record(kDataReceiptWanted);
    const Ack* ack = sent<Ack>();
    REQUIRE(ack != nullptr);
    CHECK(ack->received == Lsn(1));
    CHECK(ack->durable == Lsn(0));
}

TEST_CASE_FIXTURE(ReceiverFixture,
                  "receiver: a receipt that nobody waits for comes with the disk's") {
    open_session();
    record(0);
    CHECK(sent<Ack>() == nullptr);
    actions = receiver.step(receiver_event::Durable{Lsn(1)}, Instant{5});
    REQUIRE(sent<Ack>() != nullptr);
    CHECK(sent<Ack>()->durable == Lsn(1));
}

// It would throw away what has come since, and nobody would send it again.
TEST_CASE_FIXTURE(ReceiverFixture, "receiver: a sync_begin that comes late is not obeyed") {
    open_session();
    sync_begin(3, 2);
    CHECK(begins_a_sync());
    sync_begin(2, 1);
    CHECK_FALSE(begins_a_sync());
    sync_begin(3, 2);
    CHECK_FALSE(begins_a_sync());
    sync_begin(4, 3);
    CHECK(begins_a_sync());
}

TEST_CASE_FIXTURE(ReceiverFixture, "receiver: an acknowledgement names the sync it comes after") {
    open_session();
    sync_begin(3, 2);
    Envelope envelope;
    actions = receiver.step(receiver_event::Durable{Lsn(0)}, Instant{1});
    REQUIRE(sent<Ack>(&envelope) != nullptr);
    CHECK(envelope.offset == 0);
    actions = receiver.step(receiver_event::SyncLogBegun{1}, Instant{1});
    REQUIRE(sent<Ack>(&envelope) != nullptr);
    CHECK(envelope.offset == 2);
}

// A log with a REBASE in it would lead to no database.
TEST_CASE_FIXTURE(ReceiverFixture, "receiver: a gap is not kept, a sync is asked for") {
    open_session();
    record(0, RecordKind::rebase);
    CHECK(does<receiver_action::AppendBegin>() == nullptr);
    CHECK(sent<NeedSync>() != nullptr);
    CHECK(receiver.view().whole);
    CHECK(receiver.view().end == LogPoint{});
}

// ACK-HELD: without the sync's pages its log leads to no database.
TEST_CASE_FIXTURE(ReceiverFixture,
                  "receiver: what only a sync's log holds is not acknowledged as durable") {
    open_session();
    open_sync(2);
    actions = receiver.step(receiver_event::Durable{Lsn(120), true}, Instant{1});
    REQUIRE(sent<Ack>() != nullptr);
    CHECK(sent<Ack>()->durable == Lsn(0));
    CHECK(sent<Ack>()->received == Lsn(100));
    CHECK(receiver.view().durable == Lsn(0));
}

TEST_CASE_FIXTURE(ReceiverFixture, "receiver: an installed sync counts when its log is kept") {
    open_session();
    open_sync(2);
    install();
    CHECK(does<receiver_action::KeepSyncLog>() != nullptr);
    CHECK(receiver.view().state == ReplicaState::needs_sync);
    actions = receiver.step(receiver_event::SyncLogKept{}, Instant{1});
    REQUIRE(sent<Ack>() != nullptr);
    CHECK(sent<Ack>()->durable == Lsn(100));
    CHECK(sent<Ack>()->applied == Lsn(100));
    CHECK(receiver.view().end.position.lsn == Lsn(100));
}

TEST_CASE_FIXTURE(ReceiverFixture, "receiver: a sync that breaks off leaves the log as it was") {
    open_session();
    record(0);
    const LogPoint before = receiver.view().end;
    open_sync(2);
    CHECK(receiver.view().end == before);
    actions = receiver.step(receiver_event::SendFailed{1}, Instant{1});
    CHECK(does<receiver_action::DropSyncLog>() != nullptr);
    CHECK(receiver.view().end == before);
    CHECK(receiver.view().state == ReplicaState::following);
}

// What a dropped log said late is of no log that is here.
TEST_CASE_FIXTURE(ReceiverFixture, "receiver: a sync's log that is ready too late is not used") {
    open_session();
    sync_begin(3, 2);
    sync_begin(4, 3);
    actions = receiver.step(receiver_event::SyncLogBegun{1}, Instant{1});
    CHECK(does<receiver_action::SyncBegan>() == nullptr);
    actions = receiver.step(receiver_event::SyncLogBegun{2}, Instant{1});
    CHECK(does<receiver_action::SyncBegan>() != nullptr);
}

// Half of it may be in the database.
TEST_CASE_FIXTURE(ReceiverFixture, "receiver: while a sync is installed nobody is welcomed") {
    open_session();
    open_sync(2);
    install();
    receiver.step(receiver_event::SendFailed{1}, Instant{1});
    hello(5, group);
    CHECK(does<receiver_action::AppendAbandon>() == nullptr);
    actions = receiver.step(receiver_event::SyncLogKept{}, Instant{1});
    CHECK(does<receiver_action::AppendAbandon>() != nullptr);
}
