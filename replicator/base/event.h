// Waking another thread or process: an eventfd for poll loops, a futex for words in shared memory.
#pragma once

#include <atomic>
#include <cstdint>

#include "replicator/base/clock.h"

namespace tanist {

// An eventfd. signal() from any thread; fd() goes into a poll set; drain() before looking at state.
class Event {
  public:
    Event();
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    void signal();
    void drain();
    int fd() const { return fd_; }  // -1: the process had no descriptor left

  private:
    int fd_ = -1;
};

// Shared between processes. Returns after a wake, when *word != expected, after the timeout, or
// for no reason: always look again.
void futex_wait(const std::atomic<uint32_t>* word, uint32_t expected, Nanos timeout);
// How many were woken.
int futex_wake_all(const std::atomic<uint32_t>* word);

}  // namespace tanist
