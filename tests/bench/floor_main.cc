// What a synchronous commit costs at least on this machine, without SQLite or Tanist:
//
//   bench_floor DIR --bytes N --commits N [--local-sync] [--zeromq]
//
// A writer thread hands N bytes to a sender thread; that sends them over a raw TCP connection on
// loopback to another process, which writes them into a file of zeros (as a recycled segment is),
// calls fdatasync and answers; the sender wakes the writer. With --local-sync the writer writes and
// syncs the same bytes into a file of its own meanwhile. With --zeromq the connection is one of
// libzmq, DEALER to ROUTER, as on Tanist's wire: that costs the wakes of its own threads. Prints
// "p50_us p99_us".
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "tests/bench/measure.h"
#include "tests/support/process/arguments.h"

namespace {

using std::chrono::steady_clock;

constexpr size_t kFileBytes = 16u << 20;

[[noreturn]] void give_up(const char* what) {
    std::perror(what);
    std::_Exit(1);
}

void read_all(int fd, char* to, size_t bytes) {
    while (bytes > 0) {
        const ssize_t got = ::read(fd, to, bytes);
        if (got <= 0) std::_Exit(got == 0 ? 0 : 1);
        to += got;
        bytes -= static_cast<size_t>(got);
    }
}
void write_all(int fd, const char* from, size_t bytes) {
    while (bytes > 0) {
        const ssize_t put = ::write(fd, from, bytes);
        if (put < 0) give_up("write");
        from += put;
        bytes -= static_cast<size_t>(put);
    }
}

// A file whose blocks are written, so that a sync has no metadata to commit.
class Journal {
  public:
    explicit Journal(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT, 0600)) {
        const std::vector<char> zeros(kFileBytes);
        if (fd_ < 0 || ::pwrite(fd_, zeros.data(), kFileBytes, 0) != ssize_t{kFileBytes} ||
            ::fsync(fd_) != 0) {
            give_up(path.c_str());
        }
    }
    void append(const std::vector<char>& bytes) {
        if (at_ + bytes.size() > kFileBytes) at_ = 0;
        if (::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at_)) < 0 ||
            ::fdatasync(fd_) != 0) {
            give_up("journal");
        }
        at_ += bytes.size();
    }

  private:
    int fd_;
    size_t at_ = 0;
};

int listen_on_loopback(sockaddr_in& address) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(fd, 1) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        give_up("listen");
    }
    return fd;
}

void no_delay(int fd) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

constexpr size_t kAnswerBytes = 64;

// One end of a connection.
class Wire {
  public:
    virtual ~Wire() = default;
    virtual void say(const std::vector<char>& bytes) = 0;
    virtual void hear(std::vector<char>& bytes) = 0;  // as many as it holds
};

class RawWire : public Wire {
  public:
    explicit RawWire(int fd) : fd_(fd) { no_delay(fd); }
    ~RawWire() override { ::close(fd_); }
    void say(const std::vector<char>& bytes) override {
        write_all(fd_, bytes.data(), bytes.size());
    }
    void hear(std::vector<char>& bytes) override { read_all(fd_, bytes.data(), bytes.size()); }

  private:
    int fd_;
};

class ZmqWire : public Wire {
  public:
    ZmqWire(zmq::socket_type type, const std::string& bind, const std::string& connect)
        : socket_(context_, type), routes_(type == zmq::socket_type::router) {
        socket_.set(zmq::sockopt::linger, 0);
        if (!bind.empty()) socket_.bind(bind);
        if (!connect.empty()) socket_.connect(connect);
    }
    std::string endpoint() { return socket_.get(zmq::sockopt::last_endpoint); }
    void say(const std::vector<char>& bytes) override {
        if (routes_) socket_.send(zmq::buffer(peer_), zmq::send_flags::sndmore);
        socket_.send(zmq::buffer(bytes), zmq::send_flags::none);
    }
    void hear(std::vector<char>& bytes) override {
        zmq::message_t message;
        if (routes_) {
            (void)socket_.recv(message);
            peer_ = message.to_string();
        }
        (void)socket_.recv(message);
        std::memcpy(bytes.data(), message.data(), std::min(bytes.size(), message.size()));
    }

  private:
    zmq::context_t context_;
    zmq::socket_t socket_;
    bool routes_;
    std::string peer_;
};

[[noreturn]] void serve(Wire& wire, const std::string& path, size_t bytes) {
    Journal journal(path);
    std::vector<char> record(bytes);
    const std::vector<char> answer(kAnswerBytes);
    while (true) {
        wire.hear(record);
        journal.append(record);
        wire.say(answer);
    }
}

// A process that serves at the other end; ended with this object.
class Peer {
  public:
    Peer(bool zeromq, const std::string& path, size_t bytes) {
        if (zeromq) {
            begin_zeromq(path, bytes);
        } else {
            begin_raw(path, bytes);
        }
    }
    ~Peer() {
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
    }
    Wire& wire() { return *wire_; }

  private:
    void begin_raw(const std::string& path, size_t bytes) {
        sockaddr_in address{};
        const int listener = listen_on_loopback(address);
        process_ = ::fork();
        if (process_ == 0) {
            RawWire other(::accept(listener, nullptr, nullptr));
            serve(other, path, bytes);
        }
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            give_up("connect");
        }
        wire_ = std::make_unique<RawWire>(fd);
    }
    // No context of libzmq may live across a fork.
    void begin_zeromq(const std::string& path, size_t bytes) {
        int told[2];
        if (::pipe(told) != 0) give_up("pipe");
        process_ = ::fork();
        if (process_ == 0) {
            ZmqWire other(zmq::socket_type::router, "tcp://127.0.0.1:*", "");
            const std::string endpoint = other.endpoint();
            write_all(told[1], endpoint.data(), endpoint.size());
            ::close(told[1]);
            serve(other, path, bytes);
        }
        char endpoint[64] = {};
        if (::read(told[0], endpoint, sizeof endpoint - 1) <= 0) give_up("read");
        wire_ = std::make_unique<ZmqWire>(zmq::socket_type::dealer, "", endpoint);
    }
    pid_t process_ = 0;
    std::unique_ptr<Wire> wire_;
};

// Hands over and waits, as a commit does.
class Sender {
  public:
    Sender(Wire& wire, const std::vector<char>& bytes)
        : thread_([this, &wire, &bytes] { run(wire, bytes); }) {}
    ~Sender() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }
    void hand_over() {
        const std::lock_guard lock(mutex_);
        wanted_ += 1;
        changed_.notify_all();
    }
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return answered_ == wanted_; });
    }

  private:
    void run(Wire& wire, const std::vector<char>& bytes) {
        std::vector<char> answer(kAnswerBytes);
        std::unique_lock lock(mutex_);
        while (true) {
            changed_.wait(lock, [this] { return stop_ || answered_ != wanted_; });
            if (stop_) return;
            lock.unlock();
            wire.say(bytes);
            wire.hear(answer);
            lock.lock();
            answered_ += 1;
            changed_.notify_all();
        }
    }
    std::mutex mutex_;  // guards the three below
    std::condition_variable changed_;
    int64_t wanted_ = 0;
    int64_t answered_ = 0;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace

int main(int argc, char** argv) {
    tanist::testing::Arguments arguments(argc, argv);
    const auto bytes = static_cast<size_t>(arguments.number("bytes", 4304));
    const int64_t commits = arguments.number("commits", 2000);
    const bool local_sync = arguments.has("local-sync");
    const bool zeromq = arguments.has("zeromq");
    arguments.finish(1, "bench_floor DIR --bytes N --commits N [--local-sync] [--zeromq]");
    const std::string directory = arguments.words()[0];
    Peer peer(zeromq, directory + "/floor-remote", bytes);
    Journal journal(directory + "/floor-local");
    const std::vector<char> record(bytes, 'x');
    tanist::bench::Series took;
    {
        Sender sender(peer.wire(), record);
        for (int64_t i = 0; i < commits; ++i) {
            const auto before = steady_clock::now();
            sender.hand_over();
            if (local_sync) journal.append(record);
            sender.wait();
            const std::chrono::duration<double, std::micro> us = steady_clock::now() - before;
            took.add(us.count());
        }
    }
    std::printf("%.1f %.1f\n", took.quantile(0.5), took.quantile(0.99));
    return 0;
}
