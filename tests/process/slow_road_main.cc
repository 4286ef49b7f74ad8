// A network that takes its time, where the kernel has none (netem): a Unix-domain socket whose
// connections lead to another one, each piece of bytes later by up to DELAY ms, in either way, in
// order.
//
//   slow_road FROM TO DELAY SEED
//
// FROM and TO are paths. Prints "open" when FROM can be connected to, and runs until it is killed.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <list>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr size_t kWaitingMost = 4u << 20;  // bytes of one way; beyond it nothing is read

int unix_socket() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw std::runtime_error("socket");
    return fd;
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("path too long");
    std::memcpy(address.sun_path, path.c_str(), path.size());
    return address;
}

// One way of one connection.
struct Way {
    struct Piece {
        Clock::time_point due;
        std::string bytes;
    };
    int from = -1;
    int to = -1;
    std::deque<Piece> under_way = {};
    size_t waiting = 0;
    bool ended = false;  // nothing more comes in
    bool broken = false;

    bool reads() const { return !ended && !broken && waiting < kWaitingMost; }
    bool over() const { return broken || (ended && under_way.empty()); }

    void take(Clock::duration delay) {
        std::string bytes(64 << 10, 0);
        const ssize_t got = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            ended = true;
            return;
        }
        bytes.resize(static_cast<size_t>(got));
        Clock::time_point due = Clock::now() + delay;
        if (!under_way.empty()) due = std::max(due, under_way.back().due);
        waiting += bytes.size();
        under_way.push_back({due, std::move(bytes)});
    }
    void deliver(Clock::time_point now) {
        while (!broken && !under_way.empty() && under_way.front().due <= now) {
            std::string& bytes = under_way.front().bytes;
            const ssize_t sent =
                ::send(to, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
            if (sent < 0) {
                broken = true;
                return;
            }
            waiting -= static_cast<size_t>(sent);
            bytes.erase(0, static_cast<size_t>(sent));
            if (!bytes.empty()) return;
            under_way.pop_front();
        }
    }
};

struct Connection {
    Way there, back;
    Connection(int one, int other) : there{one, other}, back{other, one} {}
    ~Connection() {
        ::close(there.from);
        ::close(there.to);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
};

class Road {
  public:
    Road(const std::string& from, std::string to, int delay_ms, uint32_t seed)
        : to_(std::move(to)), delay_ms_(delay_ms), random_(seed), listener_(unix_socket()) {
        ::unlink(from.c_str());
        const sockaddr_un address = address_of(from);
        if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_, 64) != 0) {
            throw std::runtime_error("cannot listen on " + from);
        }
    }

    [[noreturn]] void run() {
        for (;;) {
            std::vector<pollfd> waits = {{listener_, POLLIN, 0}};
            for (const Connection& connection : connections_) {
                for (const Way* way : {&connection.there, &connection.back}) {
                    waits.push_back({way->reads() ? way->from : -1, POLLIN, 0});
                }
            }
            ::poll(waits.data(), waits.size(), connections_.empty() ? -1 : 1);
            if ((waits[0].revents & POLLIN) != 0) accept();
            for (Connection& connection : connections_) {
                for (Way* way : {&connection.there, &connection.back}) {
                    if (way->reads()) way->take(milliseconds(random_() % (delay_ms_ + 1)));
                    way->deliver(Clock::now());
                }
            }
            connections_.remove_if(
                [](const Connection& c) { return c.there.over() || c.back.over(); });
        }
    }

  private:
    // Who is behind the road may be away: then the connection ends, as it would there.
    void accept() {
        const int in = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (in < 0) return;
        const int out = unix_socket();
        const sockaddr_un address = address_of(to_);
        if (::connect(out, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            connections_.emplace_back(in, out);
            return;
        }
        ::close(in);
        ::close(out);
    }

    std::string to_;
    uint32_t delay_ms_;
    std::mt19937 random_;
    int listener_;
    std::list<Connection> connections_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "slow_road FROM TO DELAY SEED\n");
        return 2;
    }
    try {
        Road road(argv[1], argv[2], std::stoi(argv[3]), static_cast<uint32_t>(std::stoul(argv[4])));
        std::printf("open\n");
        std::fflush(stdout);
        road.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "slow_road: %s\n", error.what());
        return 1;
    }
}
