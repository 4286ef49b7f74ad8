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
// An address may hold so much of what the door may hold.
constexpr int kShare = 4;
// Counting asks for every descriptor: not more often than this, unless so many came since.
constexpr Nanos kCountEvery = std::chrono::milliseconds(100);
constexpr int kCountAfter = 32;

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

PeerNetwork network_of(const sockaddr_storage& address) {
    PeerNetwork network;
    if (address.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
        std::memcpy(network.bytes.data(), &v4, sizeof v4);
        return network;
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
        std::memcpy(network.bytes.data(), v6.s6_addr + 12, 4);
        return network;
    }
    network.v6 = true;
    std::memcpy(network.bytes.data(), v6.s6_addr, network.bytes.size());
    return network;
}

uint32_t word(const PeerNetwork& network, size_t at) {
    uint32_t bytes = 0;
    std::memcpy(&bytes, network.bytes.data() + at, sizeof bytes);
    return ntohl(bytes);
}

using Filter = std::vector<sock_filter>;

sock_filter step(int code, uint32_t value, size_t if_true = 0, size_t if_false = 0) {
    return {static_cast<uint16_t>(code), static_cast<uint8_t>(if_true),
            static_cast<uint8_t>(if_false), value};
}

constexpr uint32_t kIpHeader = static_cast<uint32_t>(SKF_NET_OFF);
constexpr uint32_t kVersion = kIpHeader;
constexpr uint32_t kSource4 = kIpHeader + 12;
constexpr uint32_t kSource6 = kIpHeader + 8;
constexpr uint32_t kWhole = 0xffff'ffff;

// What a packet of these networks is to the listening socket: nothing.
Filter filter_of(const std::vector<PeerNetwork>& networks) {
    Filter v4 = {step(BPF_LD | BPF_W | BPF_ABS, kSource4)};
    Filter v6;
    for (const PeerNetwork& network : networks) {
        if (!network.v6) {
            v4.push_back(step(BPF_JMP | BPF_JEQ | BPF_K, word(network, 0), 0, 1));
            v4.push_back(step(BPF_RET | BPF_K, 0));
            continue;
        }
        v6.push_back(step(BPF_LD | BPF_W | BPF_ABS, kSource6));
        v6.push_back(step(BPF_JMP | BPF_JEQ | BPF_K, word(network, 0), 0, 3));
        v6.push_back(step(BPF_LD | BPF_W | BPF_ABS, kSource6 + 4));
        v6.push_back(step(BPF_JMP | BPF_JEQ | BPF_K, word(network, 4), 0, 1));
        v6.push_back(step(BPF_RET | BPF_K, 0));
    }
    v4.push_back(step(BPF_RET | BPF_K, kWhole));
    v6.push_back(step(BPF_RET | BPF_K, kWhole));
    Filter whole = {step(BPF_LD | BPF_B | BPF_ABS, kVersion), step(BPF_ALU | BPF_RSH | BPF_K, 4),
                    step(BPF_JMP | BPF_JEQ | BPF_K, 6, v4.size(), 0)};
    whole.insert(whole.end(), v4.begin(), v4.end());
    whole.insert(whole.end(), v6.begin(), v6.end());
    return whole;
}
// The longest jump of such a filter is a byte.
static_assert(2 * kBarredMax + 2 < 256);

bool attach(int fd, Filter filter) {
    sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

bool detach(int fd) {
    const int unused = 0;
    return ::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) == 0;
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
    return std::unique_ptr<TcpDoor>(
        new TcpDoor(fd, std::move(bound), port_of(address), descriptors_allowed()));
}

TcpDoor::~TcpDoor() { ::close(fd_); }

int TcpDoor::share() const { return ::fcntl(fd_, F_DUPFD_CLOEXEC, 0); }

// Of the connections that this process holds, those that came in by this door. They are libzmq's;
// we only ask where they come from.
std::vector<PeerNetwork> TcpDoor::connections() const {
    std::vector<PeerNetwork> found;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return found;
    const int end = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 2 * kDescriptorsMost));
    for (int fd = 0; fd < end; ++fd) {
        Address peer;
        peer.bytes = sizeof peer.storage;
        auto* at = reinterpret_cast<sockaddr*>(&peer.storage);
        if (::getpeername(fd, at, &peer.bytes) != 0) continue;
        if (peer.storage.ss_family != AF_INET && peer.storage.ss_family != AF_INET6) continue;
        Address own;
        own.bytes = sizeof own.storage;
        if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own.storage), &own.bytes) != 0) continue;
        if (port_of(own) == port_) found.push_back(network_of(peer.storage));
    }
    return found;
}

bool TcpDoor::let_nobody_in(bool nobody) {
    if (nobody) return attach(fd_, {step(BPF_RET | BPF_K, 0)});
    return barred_.empty() ? detach(fd_) : attach(fd_, filter_of(barred_));
}

void TcpDoor::bar(const std::vector<PeerNetwork>& networks) {
    if (networks == barred_) return;
    const bool done = shut_ || (networks.empty() ? detach(fd_) : attach(fd_, filter_of(networks)));
    if (done) barred_ = networks;
}

// The lowest free number says how many descriptors are in use, or a few fewer: the kernel hands out
// the lowest.
TcpDoor::State TcpDoor::tend(Instant now) {
    const int lowest = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (lowest >= 0) ::close(lowest);
    const bool many = lowest < 0 || lowest > most_ / kShare;
    const bool due = now - counted_ >= kCountEvery || lowest > counted_at_ + kCountAfter;
    if ((many || !barred_.empty()) && due) {
        counted_ = now;
        counted_at_ = lowest;
        bar(crowds(connections(), static_cast<size_t>(most_ / kShare)));
    }
    const bool crowded = lowest < 0 || lowest > (shut_ ? most_ * 3 / 4 : most_);
    if (crowded != shut_ && let_nobody_in(crowded)) shut_ = crowded;
    return shut_ ? State::shut : barred_.empty() ? State::open : State::barred;
}

}  // namespace tanist
