#include "replicator/ship/follower.h"

#include <doctest/doctest.h>

#include <variant>

using namespace tanist;

namespace {

namespace ev = follower_event;
namespace act = follower_action;

// A primary of epoch 3 whose log holds records 1 to 10, and its view of one replica.
struct FollowerFixture {
    Instant now{1'000'000'000};
    LogView log = [] {
        LogView view;
        view.base = {Position{Epoch(3), Lsn(0)}, Chain{}};
        view.first = Lsn(1);
        view.end = {Position{Epoch(3), Lsn(10)}, Chain{{10}}};
        view.committed = Lsn(10);
        view.bytes = 1000;
        return view;
    }();
    Follower follower{identity(), 7};
    std::vector<FollowerAction> actions;
    uint64_t session = 0;
    uint64_t syncs = 0;  // for so many the replica has begun its log anew

    static FollowerIdentity identity() {
        FollowerIdentity self;
        self.cluster = ClusterId{{1}};
        self.group = GroupId{{2}};
        self.epoch = Epoch(3);
        return self;
    }
    void step(const FollowerEvent& event) { actions = follower.step(event, log, now); }
    void wait(Nanos time) {
        now = now + time;
        step(ev::Tick{});
    }
    void receive(Body body, uint64_t epoch = 3) {
        Envelope envelope;
        envelope.session = session;
        envelope.epoch = Epoch(epoch);
        envelope.offset = syncs;
        step(ev::Received{envelope, std::move(body)});
    }
    void receive_on_sync_socket(Body body) {
        Envelope envelope;
        envelope.session = session;
        envelope.epoch = Epoch(3);
        step(ev::SyncReceived{envelope, std::move(body)});
    }
    template <class T>
    const T* action() const {
        for (const FollowerAction& action : actions) {
            if (auto* found = std::get_if<T>(&action)) return found;
        }
        return nullptr;
    }
    // Says HELLO, which begins a session.
    void connect() {
        step(ev::Tick{});
        REQUIRE(action<act::Connect>() != nullptr);
        session = action<act::Send>()->message.envelope.session;
    }
    // A replica that has everything up to `end` of our history.
    void welcome(uint64_t end, const Chain& chain) {
        Welcome welcome;
        welcome.cluster = identity().cluster;
        welcome.group = identity().group;
        welcome.state = ReplicaState::following;
        welcome.end = Position{Epoch(3), Lsn(end)};
        welcome.end_chain = chain;
        welcome.durable = welcome.applied = Lsn(end);
        welcome.credit = limits::kCreditWindowBytes;
        receive(welcome);
    }
    void stream() {
        connect();
        welcome(10, Chain{{10}});
        REQUIRE(follower.view().state == PeerState::streaming);
    }
    void ack(uint64_t received, uint64_t applied) {
        Ack ack;
        ack.received = ack.durable = Lsn(received);
        ack.applied = Lsn(applied);
        ack.credit = limits::kCreditWindowBytes;
        receive(ack);
    }
    // The log gets `count` records of 100 bytes.
    void log_grows(uint64_t count) {
        log.end.position.lsn = Lsn(log.end.position.lsn.value + count);
        log.committed = log.end.position.lsn;
        log.bytes += 100 * count;
        step(ev::Tick{});
    }
};

}  // namespace

TEST_CASE_FIXTURE(FollowerFixture, "follower: a replica with our history gets what it lacks") {
    connect();
    welcome(4, Chain{{4}});
    REQUIRE(action<act::LookUp>() != nullptr);
    step(ev::HistoryLookedUp{Lsn(4), LogPoint{Position{Epoch(3), Lsn(4)}, Chain{{4}}}});
    REQUIRE(action<act::SendRecords>() != nullptr);
    CHECK(action<act::SendRecords>()->lsn == Lsn(5));
    CHECK(action<act::SendRecords>()->last == Lsn(10));
    CHECK(action<act::Acknowledged>()->durable == Lsn(4));
}

// Equal numbers are not equal history: its acknowledgements must never count.
TEST_CASE_FIXTURE(FollowerFixture,
                  "follower: a replica of another history is synced, not counted") {
    connect();
    welcome(10, Chain{{99}});
    CHECK(action<act::StartSync>() != nullptr);
    CHECK(action<act::Acknowledged>() == nullptr);
    ack(10, 10);
    CHECK(action<act::Acknowledged>() == nullptr);
    CHECK(follower.view().needs == Lsn(0));
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: superseded is a refusal, and it comes again later") {
    stream();
    const uint64_t first = session;
    receive(Refuse{RefuseCode::superseded, "a newer session took over"});
    CHECK(action<act::Disconnect>() != nullptr);
    CHECK(follower.view().state == PeerState::refused);
    CHECK(follower.view().reason == "superseded: a newer session took over");
    CHECK(action<act::Connect>() == nullptr);
    now = follower.deadline();
    connect();
    CHECK(session != first);
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: every refusal in a row lengthens the pause") {
    Nanos last(0);
    for (int i = 0; i < 4; ++i) {
        connect();
        receive(Refuse{RefuseCode::storage, "the disk is full"});
        const Nanos pause = follower.deadline() - now;
        CHECK(pause > last / 2);
        CHECK(pause >= limits::kReconnectMin * (1 << i) / 2);
        CHECK(pause <= limits::kReconnectMin * (1 << i));
        last = pause;
        now = follower.deadline();
    }
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: a newer epoch in an answer is a refusal") {
    stream();
    receive(Ack{}, 4);
    CHECK(follower.view().state == PeerState::refused);
    CHECK(follower.view().reason.find("epoch 4") != std::string::npos);
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: NeedSync begins a sync, and its end counts again") {
    stream();
    receive(NeedSync{"its database was replaced"});
    REQUIRE(action<act::StartSync>() != nullptr);
    CHECK(follower.view().state == PeerState::syncing);
    CHECK(follower.view().reason == "its database was replaced");
    SyncBegin begin;
    begin.base = log.end.position;
    step(ev::SyncSourceReady{begin});
    CHECK(follower.view().needs == Lsn(11));
    receive_on_sync_socket(SyncAsk{.ask = 1, .first = 1, .count = 8, .hashes = {}});
    CHECK(action<act::AnswerSyncAsk>() != nullptr);
    receive_on_sync_socket(SyncAsk{.ask = 2, .first = 0, .count = 0, .hashes = {}});
    REQUIRE(action<act::SettleSync>() != nullptr);
    step(ev::SyncSourceEnded{log.end.position});
    syncs = 1;
    ack(10, 9);
    CHECK(action<act::Acknowledged>() == nullptr);
    ack(10, 10);
    CHECK(action<act::StopSync>() != nullptr);
    CHECK(action<act::Acknowledged>()->applied == Lsn(10));
    CHECK(follower.view().state == PeerState::streaming);
}

// The two sockets keep no order between them: an acknowledgement may be as old as the sync.
TEST_CASE_FIXTURE(FollowerFixture, "follower: what was said of a log that is gone does not count") {
    stream();
    receive(NeedSync{"its database was replaced"});
    SyncBegin begin;
    begin.base = log.end.position;
    step(ev::SyncSourceReady{begin});
    CHECK(action<act::Send>()->message.envelope.offset == 1);
    receive_on_sync_socket(SyncAsk{.ask = 1, .first = 0, .count = 0, .hashes = {}});
    step(ev::SyncSourceEnded{log.end.position});
    ack(10, 10);
    CHECK(action<act::Acknowledged>() == nullptr);
    CHECK(follower.view().state == PeerState::syncing);
    syncs = 1;
    ack(10, 10);
    CHECK(action<act::Acknowledged>() != nullptr);
    CHECK(follower.view().state == PeerState::streaming);
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: a second NeedSync gives up the first sync") {
    stream();
    receive(NeedSync{"first"});
    receive(NeedSync{"second"});
    CHECK(action<act::StopSync>() != nullptr);
    CHECK(action<act::StartSync>() != nullptr);
    CHECK(follower.view().reason == "second");
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: an answer of an older session changes nothing") {
    stream();
    session += 1;
    receive(Refuse{RefuseCode::superseded, "late"});
    receive(NeedSync{"late"});
    CHECK(actions.empty());
    CHECK(follower.view().state == PeerState::streaming);
}

TEST_CASE_FIXTURE(FollowerFixture,
                  "follower: an acknowledgement that comes again says nothing new") {
    stream();
    log_grows(2);
    ack(11, 10);
    CHECK(action<act::Acknowledged>()->durable == Lsn(11));
    ack(11, 10);
    CHECK(action<act::Acknowledged>() == nullptr);
    ack(12, 12);
    ack(11, 10);  // late
    CHECK(action<act::Acknowledged>() == nullptr);
    CHECK(follower.view().durable == Lsn(12));
    CHECK(follower.view().applied == Lsn(12));
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: one that was lost is made good by the next") {
    stream();
    log_grows(5);
    ack(15, 10);
    CHECK(action<act::Acknowledged>()->durable == Lsn(15));
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: the last one that was lost is made good by WELCOME") {
    stream();
    log_grows(1);
    step(ev::LinkFailed{"gone"});
    wait(limits::kReconnectMax);
    session = action<act::Send>()->message.envelope.session;
    welcome(11, log.end.chain);
    REQUIRE(action<act::Acknowledged>() != nullptr);
    CHECK(action<act::Acknowledged>()->durable == Lsn(11));
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: what was never sent cannot be acknowledged") {
    stream();
    ack(11, 10);
    CHECK(action<act::Disconnect>() != nullptr);
    CHECK(follower.view().state == PeerState::connecting);
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: silence ends a session, and not before its time") {
    stream();
    wait(limits::kPeerSilentAfter - Nanos(1));
    CHECK(action<act::Disconnect>() == nullptr);
    wait(Nanos(1));
    CHECK(action<act::Disconnect>() != nullptr);
    CHECK(follower.view().reason == "it went silent");
}

TEST_CASE_FIXTURE(FollowerFixture, "follower: lag is the age and size of what is not applied") {
    stream();
    CHECK(follower.view().lag == Nanos(0));
    wait(std::chrono::seconds(1));
    log_grows(2);
    wait(std::chrono::seconds(1));
    log_grows(1);
    wait(std::chrono::seconds(1));
    CHECK(follower.view().lag == std::chrono::seconds(2));
    CHECK(follower.view().lag_bytes == 300);
    step(ev::Sent{300, Lsn(14), 0});
    ack(13, 12);
    CHECK(follower.view().lag == std::chrono::seconds(1));
    CHECK(follower.view().lag_bytes == 100);
    ack(13, 13);
    CHECK(follower.view().lag == Nanos(0));
}

// The log is kept for a replica that only has to reconnect.
TEST_CASE_FIXTURE(FollowerFixture, "follower: what a replica lacks is needed while it is away") {
    stream();
    log_grows(5);
    receive(Refuse{RefuseCode::shutting_down, "it restarts"});
    CHECK(follower.view().state == PeerState::connecting);
    CHECK(follower.view().needs == Lsn(11));
}

// The commit that was held back is settled; the record of the next one says so as well.
TEST_CASE_FIXTURE(FollowerFixture,
                  "follower: news for readers alone wait as long as they are told") {
    stream();
    log.end.position.lsn = Lsn(11);
    step(ev::Tick{});
    REQUIRE(action<act::SendRecords>() != nullptr);
    step(ev::Sent{100, Lsn(12), 0});
    log.committed = Lsn(11);
    log.news_waits_until = now + Nanos(1'000'000);
    step(ev::Tick{});
    CHECK(action<act::Send>() == nullptr);
    CHECK(follower.deadline() == log.news_waits_until);
    now = log.news_waits_until;
    step(ev::Tick{});
    REQUIRE(action<act::Send>() != nullptr);
    CHECK(std::get<Heartbeat>(action<act::Send>()->message.body).committed == Lsn(11));
}
