#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "replicator/node/signals.h"

namespace tanist {
namespace {

constexpr size_t kDescriptorsMax = 64;
std::array<std::atomic<int>, kDescriptorsMax>& descriptors() {
    static std::array<std::atomic<int>, kDescriptorsMax> fds;
    return fds;
}

void after_fork_in_child() {
    for (std::atomic<int>& fd : descriptors())
        if (int owned = fd.exchange(0); owned > 0) ::close(owned);
}

}  // namespace

struct SignalsBlocked::Saved {
    sigset_t mask;
};

SignalsBlocked::SignalsBlocked() : saved_(std::make_unique<Saved>()) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved_->mask);
}

SignalsBlocked::~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &saved_->mask, nullptr); }

void close_in_forked_child(int fd) {
    static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
    if (registered != 0) return;
    for (std::atomic<int>& slot : descriptors()) {
        int free = 0;
        if (slot.compare_exchange_strong(free, fd)) return;
    }
}

void keep_in_forked_child(int fd) {
    for (std::atomic<int>& slot : descriptors()) {
        int owned = fd;
        if (slot.compare_exchange_strong(owned, 0)) return;
    }
}

}  // namespace tanist
