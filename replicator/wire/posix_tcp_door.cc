#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "replicator/wire/tcp_door.h"

namespace tanist {
namespace {

constexpr int kBacklog = 128;
constexpr int kSilentSeconds = 3;
constexpr int kDescriptorsMost = 4096;

struct Address {
    sockaddr_storage storage{};
    socklen_t bytes = 0;
};

// "tcp://127.0.0.1:7400", "tcp://[::1]:*", "tcp://*:7400".
bool parse(const std::string& endpoint, Address& out) {
    if (!endpoint.starts_with("tcp://")) return false;
    const size_t colon = endpoint.rfind(':');
    std::string host = endpoint.substr(6, colon - 6);
    const std::string port_text = endpoint.substr(colon + 1);
    uint16_t port = 0;
    if (port_text != "*") {
        const char* end = port_text.data() + port_text.size();
        auto parsed = std::from_chars(port_text.data(), end, port);
        if (parsed.ec != std::errc{} || parsed.ptr != end) return false;
    }
    if (host == "*") host = "0.0.0.0";
    if (host.starts_with('[') && host.ends_with(']')) {
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        out.bytes = sizeof *v6;
        return ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6->sin6_addr) == 1;
    }
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out.bytes = sizeof *v4;
    return ::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1;
}

// 0, or the errno of what did not work.
int listen_on(int fd, Address& address) {
    const int on = 1;
    const int defer = kSilentSeconds;
    if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof defer) != 0 ||
        ::bind(fd, reinterpret_cast<sockaddr*>(&address.storage), address.bytes) != 0 ||
        ::listen(fd, kBacklog) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.bytes) != 0) {
        return errno;
    }
    return 0;
}

uint16_t port_of(const Address& address) {
    if (address.storage.ss_family == AF_INET6) {
        return ntohs(reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port);
    }
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

int descriptors_allowed() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kDescriptorsMost;
    return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 2 * kDescriptorsMost)) / 2;
}

}  // namespace

std::unique_ptr<TcpDoor> TcpDoor::open(const std::string& endpoint, int& reason) {
    Address address;
    reason = 0;
    if (!parse(endpoint, address)) return nullptr;
    const int fd =
        ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    reason = fd < 0 ? errno : listen_on(fd, address);
    if (reason != 0) {
        if (fd >= 0) ::close(fd);
        return nullptr;
    }
    std::string bound =
        endpoint.substr(0, endpoint.rfind(':') + 1) + std::to_string(port_of(address));
    return std::unique_ptr<TcpDoor>(new TcpDoor(fd, std::move(bound), descriptors_allowed()));
}

TcpDoor::~TcpDoor() { ::close(fd_); }

int TcpDoor::share() const { return ::fcntl(fd_, F_DUPFD_CLOEXEC, 0); }

// The lowest free number says how many descriptors are in use, or a few fewer: the kernel hands out
// the lowest.
bool TcpDoor::tend() {
    const int lowest = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (lowest >= 0) ::close(lowest);
    const bool crowded = lowest < 0 || lowest > (shut_ ? most_ * 3 / 4 : most_);
    if (crowded == shut_) return shut_;
    if (crowded) {
        std::array<sock_filter, 1> nothing = {{{BPF_RET | BPF_K, 0, 0, 0}}};
        sock_fprog program{static_cast<unsigned short>(nothing.size()), nothing.data()};
        shut_ = ::setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
    } else {
        const int unused = 0;
        shut_ = ::setsockopt(fd_, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) != 0;
    }
    return shut_;
}

}  // namespace tanist
