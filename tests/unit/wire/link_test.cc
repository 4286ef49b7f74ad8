#include "replicator/wire/link.h"

#include <doctest/doctest.h>

#include "replicator/base/event.h"
#include "replicator/wire/message.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_samples.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
using testing::counted;

std::unique_ptr<Link> make_link() {
    auto link = Link::create();
    REQUIRE(link.ok());
    return std::move(link).value();
}

// Bounded by rounds, not by a clock that a slow machine would run out.
std::optional<Incoming> wait_for(Link& link) {
    for (int round = 0; round < 200; ++round) {
        if (auto incoming = link.receive()) return incoming;
        link.wait({}, 50ms);
    }
    return std::nullopt;
}

struct Pair {
    std::unique_ptr<Link> server = make_link();
    std::unique_ptr<Link> client = make_link();
    std::string endpoint;
    LinkId to = 0;

    explicit Pair(const std::string& wanted) {
        auto bound = server->bind(wanted);
        REQUIRE(bound.ok());
        endpoint = *bound;
        auto link = client->connect(endpoint);
        REQUIRE(link.ok());
        to = *link;
    }
    // The client's socket holds the message until it is connected; somebody must turn its crank.
    std::optional<Incoming> at_server() {
        for (int round = 0; round < 400; ++round) {
            client->wait({}, 5ms);
            if (auto incoming = server->receive()) return incoming;
            server->wait({}, 5ms);
        }
        return std::nullopt;
    }
};

Bytes envelope_of(uint8_t mark) { return Bytes(kEnvelopeBytes, mark); }

}  // namespace

TEST_CASE(
    "zmq_link: a message sent before the connection is there arrives, and so does the answer") {
    TempDir dir;
    for (const std::string& endpoint :
         {std::string("tcp://127.0.0.1:*"), "ipc://" + dir.path("socket")}) {
        CAPTURE(endpoint);
        Pair pair(endpoint);
        CHECK(pair.endpoint.find('*') == std::string::npos);
        CHECK(pair.client->send(pair.to, envelope_of(1), counted(500)));
        auto asked = pair.at_server();
        REQUIRE(asked);
        CHECK(asked->envelope.bytes().size() == kEnvelopeBytes);
        CHECK(std::ranges::equal(asked->body.bytes(), counted(500)));
        CHECK(pair.server->send(asked->from, envelope_of(2), {}));
        auto answered = wait_for(*pair.client);
        REQUIRE(answered);
        CHECK(answered->from == pair.to);
        CHECK(!answered->body);
    }
}

TEST_CASE("zmq_link: the largest body travels whole") {
    Pair pair("tcp://127.0.0.1:*");
    CHECK(pair.client->send(pair.to, envelope_of(1), counted(limits::kFrameBytesMax)));
    auto incoming = pair.at_server();
    REQUIRE(incoming);
    CHECK(std::ranges::equal(incoming->body.bytes(), counted(limits::kFrameBytesMax)));
}

TEST_CASE("zmq_link: a body outlives the link's next messages") {
    Pair pair("tcp://127.0.0.1:*");
    CHECK(pair.client->send(pair.to, envelope_of(1), counted(2000)));
    auto first = pair.at_server();
    REQUIRE(first);
    Frame kept = first->body;
    first.reset();
    CHECK(pair.client->send(pair.to, envelope_of(1), Bytes(2000, 9)));
    REQUIRE(pair.at_server());
    CHECK(std::ranges::equal(kept.bytes(), counted(2000)));
}

TEST_CASE("zmq_link: an envelope of another size is dropped and counted") {
    Pair pair("tcp://127.0.0.1:*");
    CHECK(pair.client->send(pair.to, Bytes(10), {}));
    CHECK(pair.client->send(pair.to, envelope_of(3), {}));
    auto incoming = pair.at_server();
    REQUIRE(incoming);
    CHECK(incoming->envelope.bytes()[0] == 3);
    CHECK(pair.server->dropped() == 1);
}

TEST_CASE("zmq_link: a frame over the bound cuts that connection and leaves the others alone") {
    Pair pair("tcp://127.0.0.1:*");
    auto other = pair.client->connect(pair.endpoint);
    REQUIRE(other.ok());
    CHECK(pair.client->send(pair.to, envelope_of(1), Bytes(limits::kFrameBytesMax + 1)));
    CHECK(pair.client->send(*other, envelope_of(2), {}));
    auto incoming = pair.at_server();
    REQUIRE(incoming);
    CHECK(incoming->envelope.bytes()[0] == 2);
}

TEST_CASE("zmq_link: messages of one connection stay in order") {
    Pair pair("tcp://127.0.0.1:*");
    for (int i = 0; i < 50; ++i) {
        CHECK(pair.client->send(pair.to, envelope_of(static_cast<uint8_t>(i)), {}));
    }
    for (int i = 0; i < 50; ++i) {
        auto incoming = pair.at_server();
        REQUIRE(incoming);
        CHECK(incoming->envelope.bytes()[0] == i);
    }
}

TEST_CASE("zmq_link: a connecting socket holds a bounded number of messages") {
    auto client = make_link();
    // Nobody listens on a path that does not exist.
    TempDir dir;
    auto link = client->connect("ipc://" + dir.path("nobody"));
    REQUIRE(link.ok());
    int held = 0;
    while (held < 1000 && client->send(*link, envelope_of(1), counted(100))) ++held;
    CHECK(held > 0);
    CHECK(held < 1000);
}

TEST_CASE("zmq_link: a peer that is gone is told by send") {
    Pair pair("tcp://127.0.0.1:*");
    CHECK(pair.client->send(pair.to, envelope_of(1), {}));
    auto incoming = pair.at_server();
    REQUIRE(incoming);
    pair.client->close(pair.to);
    bool sent = true;
    for (int round = 0; round < 400 && sent; ++round) {
        sent = pair.server->send(incoming->from, envelope_of(2), {});
        pair.server->wait({}, 5ms);
    }
    CHECK(!sent);
    CHECK(!pair.server->send(incoming->from, envelope_of(2), {}));
    CHECK(!pair.client->send(pair.to, envelope_of(2), {}));
}

TEST_CASE("zmq_link: a server that is gone is told by send") {
    Pair pair("tcp://127.0.0.1:*");
    CHECK(pair.client->send(pair.to, envelope_of(1), {}));
    REQUIRE(pair.at_server());
    pair.server.reset();
    bool sent = true;
    for (int round = 0; round < 400 && sent; ++round) {
        sent = pair.client->send(pair.to, envelope_of(2), {});
        pair.client->wait({}, 5ms);
    }
    CHECK(!sent);
}

TEST_CASE("zmq_link: an endpoint in use is busy, and the message names it") {
    TempDir dir;
    for (const std::string& wanted :
         {std::string("tcp://127.0.0.1:*"), "ipc://" + dir.path("socket")}) {
        auto first = make_link();
        auto bound = first->bind(wanted);
        REQUIRE(bound.ok());
        auto second = make_link();
        auto again = second->bind(*bound);
        REQUIRE(!again.ok());
        CHECK(again.error().code == Errc::busy);
        CHECK(again.error().message.find(*bound) != std::string::npos);
    }
}

TEST_CASE("zmq_link: what is not an endpoint is invalid") {
    auto link = make_link();
    for (const char* text : {"", "localhost:1", "tcp://", "tcp://nohost"}) {
        CAPTURE(text);
        CHECK(!link->bind(text).ok());
        CHECK(!link->connect(text).ok());
    }
}

TEST_CASE("zmq_link: wait returns when a wake descriptor is readable") {
    auto link = make_link();
    Event event;
    Event silent;
    event.signal();
    CHECK(link->wait({silent.fd(), event.fd()}, 1h) == 2);
    CHECK(!link->receive());
}

// The descriptor of a socket tells of news once; a sending takes the news of what came meanwhile.
TEST_CASE("zmq_link: what came while this side sent is received without anything else coming") {
    Pair pair("tcp://127.0.0.1:*");
    CHECK(pair.client->send(pair.to, envelope_of(1), {}));
    auto incoming = pair.at_server();
    REQUIRE(incoming);
    for (int round = 0; round < 200; ++round) {
        REQUIRE(pair.server->send(incoming->from, envelope_of(2), {}));
        for (int more = 0; more < 150; ++more) {
            CHECK(pair.client->send(pair.to, envelope_of(3), {}));
        }
        REQUIRE(wait_for(*pair.client));
        while (pair.client->receive()) {
        }
    }
}

}  // namespace tanist
