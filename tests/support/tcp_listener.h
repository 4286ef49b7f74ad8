// A port of this machine's that takes connections, as many as its queue holds, and says nothing.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace tanist::testing {

struct TcpListener {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    std::string endpoint;
    TcpListener() {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* address = reinterpret_cast<sockaddr*>(&at);
        socklen_t bytes = sizeof at;
        REQUIRE(::bind(fd, address, bytes) == 0);
        REQUIRE(::listen(fd, 8) == 0);
        ::getsockname(fd, address, &bytes);
        endpoint = "tcp://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    }
    ~TcpListener() { close(); }
    TcpListener(const TcpListener&) = delete;
    TcpListener& operator=(const TcpListener&) = delete;
    void close() {
        if (fd >= 0) ::close(fd);
        fd = -1;
    }
};

}  // namespace tanist::testing
