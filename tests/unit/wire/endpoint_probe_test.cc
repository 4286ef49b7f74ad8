#include "replicator/wire/endpoint_probe.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

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

TEST_CASE("endpoint_probe: what it cannot know is no refusal") {
    CHECK_FALSE(refuses_connections("tcp://no.such.host.example:1"));
    CHECK_FALSE(refuses_connections("inproc://x"));
    CHECK_FALSE(refuses_connections("tcp://:1"));
}
