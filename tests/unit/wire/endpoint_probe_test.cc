#include "replicator/wire/endpoint_probe.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "replicator/wire/link.h"
#include "tests/support/tcp_listener.h"
#include "tests/support/temp_dir.h"

using namespace tanist;
using tanist::testing::TcpListener;

TEST_CASE("endpoint_probe: a port refuses exactly while nobody listens") {
    TcpListener listener;
    CHECK_FALSE(refuses_connections(listener.endpoint));
    listener.close();
    CHECK(refuses_connections(listener.endpoint));
}

TEST_CASE("endpoint_probe: a socket file without a process refuses, and so does no file") {
    TempDir dir;
    const std::string path = dir.path("s");
    CHECK(refuses_connections("ipc://" + path));
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strcpy(at.sun_path, path.c_str());
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(fd, 1) == 0);
    CHECK_FALSE(refuses_connections("ipc://" + path));
    ::close(fd);
    CHECK(refuses_connections("ipc://" + path));
}

// How far away a node is shows in this byte; a paused one, whose kernel connects, gives none.
TEST_CASE("endpoint_probe: who serves a link greets, who only listens does not") {
    auto link = std::move(Link::create()).value();
    EndpointProbe served(link->bind("tcp://127.0.0.1:*").value());
    const TcpListener listener;
    EndpointProbe silent(listener.endpoint);
    pollfd greeting{served.fd(), POLLIN, 0};
    REQUIRE(::poll(&greeting, 1, 60'000) == 1);
    CHECK(served.look() == EndpointProbe::Seen::greeted);
    CHECK(served.fd() == -1);
    CHECK(silent.look() == EndpointProbe::Seen::nothing);
}

TEST_CASE("endpoint_probe: who closes a connection without a word has dropped it") {
    TcpListener listener;
    EndpointProbe probe(listener.endpoint);
    listener.close();
    pollfd end{probe.fd(), POLLIN, 0};
    REQUIRE(::poll(&end, 1, 60'000) == 1);
    CHECK(probe.look() == EndpointProbe::Seen::dropped);
    CHECK(probe.fd() == -1);
}

TEST_CASE("endpoint_probe: what it cannot know is no refusal") {
    CHECK_FALSE(refuses_connections("tcp://no.such.host.example:1"));
    CHECK_FALSE(refuses_connections("inproc://x"));
    CHECK_FALSE(refuses_connections("tcp://:1"));
}
