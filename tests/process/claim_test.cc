// A promotion where nobody votes: the members keep its epoch before it is used, and what they say
// then decides. One of them is played by the test, to say it at the right moment.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <atomic>
#include <thread>

#include "replicator/control/node_file.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"
#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;
using namespace std::chrono_literals;

namespace {

NodeFile node_of(const TrioNode& node) {
    auto file = read_node_file(Layout(node.db).node());
    REQUIRE(file.ok());
    return *file;
}

// SQLite's write lock, as another process would hold it.
class WriteLock {
  public:
    explicit WriteLock(const std::string& db) : fd_(::open((db + "-shm").c_str(), O_RDWR)) {
        struct flock byte {};
        byte.l_type = F_WRLCK;
        byte.l_start = 120;
        byte.l_len = 1;
        REQUIRE(::fcntl(fd_, F_OFD_SETLK, &byte) == 0);
    }
    ~WriteLock() { ::close(fd_); }

  private:
    int fd_;
};

void send(Link& link, LinkId to, const Message& message) {
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    link.send(to, envelope, std::move(body));
}

// Answers where a member's daemon was, in its name, with the status that it had.
class Played {
  public:
    explicit Played(Trio& trio)
        : file_(node_of(trio.c)), status_(trio.run("status c.db --json").text) {
        trio.c.daemon.kill();
        link_ = std::move(Link::create()).value();
        REQUIRE(link_->bind(trio.c.endpoint).ok());
    }
    ~Played() {
        stopping_ = true;
        if (thread_.joinable()) thread_.join();
    }
    std::function<void(Epoch)> before_answer = [](Epoch) {};
    bool silent = false;  // says nothing to a claim
    uint64_t more = 0;    // so many records more than its status said
    void play() {
        thread_ = std::thread([this] {
            while (!stopping_) {
                link_->wait({}, 10ms);
                while (auto incoming = link_->receive()) take(*incoming);
            }
        });
    }

  private:
    void take(const Incoming& incoming) {
        const Envelope asked = decode_envelope(incoming.envelope).value();
        Message answer;
        answer.envelope.session = asked.session;
        answer.envelope.epoch = asked.epoch;
        if (asked.type == MessageType::status_ask) {
            answer.envelope.epoch = file_.epoch;
            answer.body = StatusText{status_};
        } else if (asked.type == MessageType::hello) {
            before_answer(asked.epoch);
            if (silent) return;
            const auto status = nlohmann::json::parse(status_);
            Welcome welcome;
            welcome.cluster = file_.cluster;
            welcome.group = file_.group;
            welcome.state = ReplicaState::following;
            welcome.end = parse_position(status["position"].get<std::string>()).value();
            welcome.end.lsn = Lsn(welcome.end.lsn.value + more);
            answer.body = welcome;
        } else {
            return;
        }
        send(*link_, incoming.from, answer);
    }

    NodeFile file_;
    std::string status_;
    std::unique_ptr<Link> link_;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

// A primary of that epoch says HELLO to a replica, and it is on the replica's disk.
void greet(const TrioNode& replica, Epoch epoch) {
    const NodeFile file = node_of(replica);
    auto link = std::move(Link::create()).value();
    Message message;
    message.envelope.session = 1;
    message.envelope.epoch = epoch;
    Hello hello;
    hello.cluster = file.cluster;
    hello.group = file.group;
    hello.node.bytes[0] = 1;
    hello.name = "another";
    message.body = hello;
    send(*link, link->connect(replica.endpoint).value(), message);
    eventually([&] {
        link->wait({}, 5ms);
        return node_of(replica).epoch == epoch;
    });
}

struct Promotion {
    Trio trio;
    std::optional<Played> played;

    Promotion() {
        REQUIRE(trio.a.writes());
        REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
        trio.a.daemon.kill();
        played.emplace(trio);
    }
    Outcome promote() {
        played->play();
        return trio.run("promote b.db --yes");
    }
    bool is_a_replica_still() { return trio.role(trio.b) == "replica" && !trio.b.writes(); }
};

}  // namespace

// Only the members' memory keeps an old primary from being confirmed again.
TEST_CASE("claim: a promotion that died before its gate opened has fenced the old primary") {
    Trio trio;
    REQUIRE(trio.a.writes());
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    trio.a.daemon.kill();
    const Epoch before = node_of(trio.c).epoch;
    {
        const WriteLock keeps_the_gate_shut(trio.b.db);
        std::thread order([&] { trio.run("promote b.db --yes"); });
        const bool kept = eventually([&] { return node_of(trio.c).epoch > before; });
        trio.b.daemon.kill();
        order.join();
        REQUIRE(kept);
    }
    CHECK(node_of(trio.b).role == Role::replica);
    trio.a.start(trio.dir);
    CHECK(eventually([&] { return trio.role(trio.a) == "replica"; }));
    CHECK_FALSE(trio.a.writes());
    trio.b.start(trio.dir);
    const Outcome again = trio.run("promote b.db --yes");
    REQUIRE_MESSAGE(again.code == 0, again.text);
    CHECK(trio.b.writes());
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
    CHECK(trio.json("diverged list a.db")["diverged"].empty());
}

TEST_CASE("claim: a member that answered the plan and then no more is not counted") {
    Promotion promotion;
    promotion.played->silent = true;
    const Outcome refused = promotion.promote();
    CHECK(refused.code == 3);
    CHECK_MESSAGE(refused.says("only 1 of the 2 nodes"), refused.text);
    CHECK(promotion.is_a_replica_still());
}

TEST_CASE("claim: what a member confirmed after the plan is not given up") {
    Promotion promotion;
    promotion.played->more = 1;
    const Outcome refused = promotion.promote();
    CHECK(refused.code == 3);
    CHECK_MESSAGE(refused.says("more of the history by now"), refused.text);
    CHECK(promotion.is_a_replica_still());
}

TEST_CASE("claim: who kept a higher epoch meanwhile does not open a lower one") {
    Promotion promotion;
    Epoch higher;
    promotion.played->before_answer = [&](Epoch claimed) {
        higher = Epoch(claimed.value + 1);
        greet(promotion.trio.b, higher);
    };
    const Outcome refused = promotion.promote();
    CHECK(refused.code == 3);
    CHECK_MESSAGE(refused.says("has been here meanwhile"), refused.text);
    CHECK(promotion.is_a_replica_still());
    CHECK(node_of(promotion.trio.b).epoch == higher);
}

// Nobody keeps it then, until they meet.
TEST_CASE("claim: a forced promotion that nobody heard of says so, and fences whom it meets") {
    Trio trio;
    trio.a.daemon.kill();
    trio.c.daemon.kill();
    const Outcome done = trio.run("promote b.db --yes --force --accept-loss --assert-fenced a");
    CHECK_MESSAGE(done.code == 0, done.text);
    CHECK(done.says("NOT FENCED"));
    trio.c.start(trio.dir);
    CHECK(eventually([&] { return node_of(trio.c).epoch == node_of(trio.b).epoch; }));
    trio.b.daemon.kill();
    trio.a.start(trio.dir);
    CHECK(eventually([&] { return trio.role(trio.a) == "replica"; }));
}
