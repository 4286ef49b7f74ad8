#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "replicator/base/event.h"

namespace tanist {

Event::Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Event::~Event() {
    if (fd_ >= 0) ::close(fd_);
}

void Event::signal() {
    const uint64_t one = 1;
    // EAGAIN means that the counter is full, thus that the reader is woken already.
    while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void Event::drain() {
    uint64_t count = 0;
    while (::read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
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

int futex_wake_all(const std::atomic<uint32_t>* word) {
    const long woken = ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    return woken > 0 ? static_cast<int>(woken) : 0;
}

}  // namespace tanist
