#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "replicator/wire/endpoint_probe.h"

namespace tanist {
namespace {

constexpr int kPatienceMs = 20;

// The error number of a connection attempt; 0 when it was taken or nobody has answered yet.
int connect_error(int family, const sockaddr* address, socklen_t bytes) {
    const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    int error = 0;
    if (::connect(fd, address, bytes) != 0) error = errno;
    if (error == EINPROGRESS) {
        error = 0;
        pollfd answer{fd, POLLOUT, 0};
        socklen_t size = sizeof error;
        if (::poll(&answer, 1, kPatienceMs) == 1) {
            ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        }
    }
    ::close(fd);
    return error;
}

bool tcp_refuses(std::string host, const std::string& port) {
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return false;
    const int error = connect_error(found->ai_family, found->ai_addr, found->ai_addrlen);
    ::freeaddrinfo(found);
    return error == ECONNREFUSED;
}

}  // namespace

bool refuses_connections(const std::string& endpoint) {
    if (endpoint.starts_with("tcp://")) {
        const size_t colon = endpoint.rfind(':');
        if (colon <= 6) return false;
        return tcp_refuses(endpoint.substr(6, colon - 6), endpoint.substr(colon + 1));
    }
    if (!endpoint.starts_with("ipc://")) return false;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = endpoint.substr(6);
    if (path.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int error =
        connect_error(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    return error == ECONNREFUSED || error == ENOENT;
}

}  // namespace tanist
