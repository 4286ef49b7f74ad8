#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "replicator/wire/endpoint_probe.h"

namespace tanist {
namespace {

constexpr int kPatienceMs = 20;

struct Address {
    sockaddr_storage bytes{};
    socklen_t size = 0;
};

std::optional<Address> tcp_address(std::string host, const std::string& port) {
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return std::nullopt;
    Address address;
    address.size = found->ai_addrlen;
    std::memcpy(&address.bytes, found->ai_addr, address.size);
    ::freeaddrinfo(found);
    return address;
}

std::optional<Address> address_of(const std::string& endpoint) {
    if (endpoint.starts_with("tcp://")) {
        const size_t colon = endpoint.rfind(':');
        if (colon <= 6) return std::nullopt;
        return tcp_address(endpoint.substr(6, colon - 6), endpoint.substr(colon + 1));
    }
    if (!endpoint.starts_with("ipc://")) return std::nullopt;
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    const std::string path = endpoint.substr(6);
    if (path.size() >= sizeof local.sun_path) return std::nullopt;
    std::memcpy(local.sun_path, path.c_str(), path.size() + 1);
    Address address;
    address.size = sizeof local;
    std::memcpy(&address.bytes, &local, sizeof local);
    return address;
}

}  // namespace

EndpointProbe::EndpointProbe(const std::string& endpoint) {
    const std::optional<Address> to = address_of(endpoint);
    if (!to) return;
    fd_ = ::socket(to->bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return;
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to->bytes), to->size) == 0) return;
    if (errno == EINPROGRESS) return;
    const bool is_path = to->bytes.ss_family == AF_UNIX;
    if (errno == ECONNREFUSED || (is_path && errno == ENOENT)) seen_ = Seen::refused;
    close();
}

EndpointProbe::EndpointProbe(EndpointProbe&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), seen_(other.seen_) {}

EndpointProbe& EndpointProbe::operator=(EndpointProbe&& other) noexcept {
    std::swap(fd_, other.fd_);
    seen_ = other.seen_;
    return *this;
}

EndpointProbe::~EndpointProbe() { close(); }

void EndpointProbe::close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

EndpointProbe::Seen EndpointProbe::look() {
    if (fd_ < 0) return seen_;
    char first = 0;
    const ssize_t got = ::recv(fd_, &first, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)) return seen_;
    if (got > 0) {
        seen_ = Seen::greeted;
    } else {
        seen_ = got < 0 && errno == ECONNREFUSED ? Seen::refused : Seen::dropped;
    }
    close();
    return seen_;
}

bool refuses_connections(const std::string& endpoint) {
    EndpointProbe probe(endpoint);
    pollfd answer{probe.fd(), POLLOUT, 0};
    if (probe.fd() >= 0) ::poll(&answer, 1, kPatienceMs);
    return probe.look() == EndpointProbe::Seen::refused;
}

}  // namespace tanist
