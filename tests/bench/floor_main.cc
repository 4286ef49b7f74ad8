// What a synchronous commit costs at least on this machine, without SQLite, ZeroMQ or Tanist:
//
//   bench_floor DIR --bytes N --commits N [--local-sync]
//
// A writer thread hands N bytes to a sender thread; that sends them over a raw TCP connection on
// loopback to another process, which writes them into a file of zeros (as a recycled segment is),
// calls fdatasync and answers; the sender wakes the writer. With --local-sync the writer writes and
// syncs the same bytes into a file of its own meanwhile. Prints "p50_us p99_us".
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

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

[[noreturn]] void serve(int listener, const std::string& path, size_t bytes) {
    Journal journal(path);
    const int fd = ::accept(listener, nullptr, nullptr);
    no_delay(fd);
    std::vector<char> buffer(bytes);
    const char answer[64] = {};
    while (true) {
        read_all(fd, buffer.data(), bytes);
        journal.append(buffer);
        write_all(fd, answer, sizeof answer);
    }
}

// Hands over and waits, as a commit does.
class Sender {
  public:
    Sender(int fd, const std::vector<char>& bytes)
        : thread_([this, fd, &bytes] { run(fd, bytes); }) {}
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
    void run(int fd, const std::vector<char>& bytes) {
        char answer[64];
        std::unique_lock lock(mutex_);
        while (true) {
            changed_.wait(lock, [this] { return stop_ || answered_ != wanted_; });
            if (stop_) return;
            lock.unlock();
            write_all(fd, bytes.data(), bytes.size());
            read_all(fd, answer, sizeof answer);
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
    arguments.finish(1, "bench_floor DIR --bytes N --commits N [--local-sync]");
    const std::string directory = arguments.words()[0];
    sockaddr_in address{};
    const int listener = listen_on_loopback(address);
    const pid_t peer = ::fork();
    if (peer == 0) serve(listener, directory + "/floor-remote", bytes);
    Journal journal(directory + "/floor-local");
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        give_up("connect");
    }
    no_delay(fd);
    const std::vector<char> record(bytes, 'x');
    tanist::bench::Series took;
    {
        Sender sender(fd, record);
        for (int64_t i = 0; i < commits; ++i) {
            const auto before = steady_clock::now();
            sender.hand_over();
            if (local_sync) journal.append(record);
            sender.wait();
            const std::chrono::duration<double, std::micro> us = steady_clock::now() - before;
            took.add(us.count());
        }
    }
    ::close(fd);
    ::waitpid(peer, nullptr, 0);
    std::printf("%.1f %.1f\n", took.quantile(0.5), took.quantile(0.99));
    return 0;
}
