#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "replicator/base/event.h"

namespace tanist {

Event::Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Event::~Event() {
    if (fd_ >= 0) ::close(fd_);
}

void Event::signal() {
    if (signalled_.exchange(true, std::memory_order_acq_rel)) return;
    const uint64_t one = 1;
    // EAGAIN means that the counter is full, thus that the reader is woken already.
    while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

// Who has signalled may not have written yet: then it stays signalled, and is drained again when
// the write wakes this thread.
void Event::drain() {
    if (!signalled_.load(std::memory_order_acquire)) return;
    uint64_t count = 0;
    ssize_t got;
    do {
        got = ::read(fd_, &count, sizeof count);
    } while (got < 0 && errno == EINTR);
    if (got > 0) signalled_.exchange(false, std::memory_order_acq_rel);
}

void wait_readable(std::vector<Readable>& fds, Nanos timeout) {
    thread_local std::vector<pollfd> polled;
    polled.clear();
    for (const Readable& one : fds) polled.push_back({one.fd, POLLIN, 0});
    timespec limit{};
    limit.tv_sec = static_cast<time_t>(timeout.count() / 1'000'000'000);
    limit.tv_nsec = static_cast<long>(timeout.count() % 1'000'000'000);
    const int some = ::ppoll(polled.data(), polled.size(), &limit, nullptr);
    for (size_t i = 0; i < fds.size(); ++i) fds[i].is = some > 0 && polled[i].revents != 0;
}

Result<Chime> Chime::make(const std::string& path, const std::string& model) {
    struct stat like {};
    if (::stat(model.c_str(), &like) != 0 || (::mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST))
        return Error{Errc::io, path + " cannot be made: " + std::strerror(errno)};
    Result<Chime> made = find(path);
    if (!made.ok()) return made;
    // Without the right to give it away it stays ours alone, and others ring the bell.
    if (::fchown(made->fd_, like.st_uid, like.st_gid) == 0 || like.st_uid == ::geteuid())
        ::fchmod(made->fd_, like.st_mode & 0660);
    return made;
}

// For reading and writing: opening never waits for the other side, and a ring that nobody hears is
// no signal that ends the process.
Result<Chime> Chime::find(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    Chime found(fd);
    struct stat is {};
    if (fd < 0 || ::fstat(fd, &is) != 0)
        return Error{errno == ENOENT ? Errc::not_found : Errc::io,
                     path + " cannot be opened: " + std::strerror(errno)};
    if (!S_ISFIFO(is.st_mode)) return Error{Errc::invalid, path + " is no FIFO"};
    return found;
}

Chime::Chime(Chime&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Chime& Chime::operator=(Chime&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Chime::~Chime() {
    if (fd_ >= 0) ::close(fd_);
}

void Chime::ring() const {
    const char one = 1;
    while (::write(fd_, &one, 1) < 0 && errno == EINTR) {
    }
}

bool Chime::drain() const {
    char rings[256];
    bool rung = false;
    ssize_t got;
    do {
        got = ::read(fd_, rings, sizeof rings);
        rung = rung || got > 0;
    } while (got == ssize_t{sizeof rings} || (got < 0 && errno == EINTR));
    return rung;
}

// Not FUTEX_PRIVATE_FLAG: the words are in memory shared between processes.
void futex_wait(const std::atomic<uint32_t>* word, uint32_t expected, Nanos timeout) {
    static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
    if (timeout.count() <= 0) return;
    timespec limit{};
    limit.tv_sec = static_cast<time_t>(timeout.count() / 1'000'000'000);
    limit.tv_nsec = static_cast<long>(timeout.count() % 1'000'000'000);
    ::syscall(SYS_futex, word, FUTEX_WAIT, expected, &limit, nullptr, 0);
}

void futex_wake_one(const std::atomic<uint32_t>* word) {
    ::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

int futex_wake_all(const std::atomic<uint32_t>* word) {
    const long woken = ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    return woken > 0 ? static_cast<int>(woken) : 0;
}

}  // namespace tanist
