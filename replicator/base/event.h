// Waking another thread or process: an eventfd for poll loops, a futex for words in shared memory,
// a chime for poll loops of another process.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/base/result.h"

namespace tanist {

// An eventfd. signal() from any thread; fd() goes into a poll set; drain() before looking at state.
// Neither is a system call when it changes nothing.
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
    std::atomic<bool> signalled_{false};  // whoever made it true writes, after that
};

// A FIFO by which other processes wake a thread that sits in a poll loop. What was rung while
// nobody listened is heard by the next listener.
class Chime {
  public:
    // Makes it when it is absent; whoever may write `model` may ring it.
    static Result<Chime> make(const std::string& path, const std::string& model);
    static Result<Chime> find(const std::string& path);
    Chime() = default;
    Chime(Chime&& other) noexcept;
    Chime& operator=(Chime&& other) noexcept;
    ~Chime();
    bool is_open() const { return fd_ >= 0; }
    void ring() const;   // neither waits nor fails: one that is full is heard anyway
    bool drain() const;  // true: it was rung
    int fd() const { return fd_; }

  private:
    explicit Chime(int fd) : fd_(fd) {}
    int fd_ = -1;
};

struct Readable {
    int fd;  // negative: never readable
    bool is = false;
};
// Waits until one of them is readable, or the timeout; zero: only looks. May return early for no
// reason.
void wait_readable(std::vector<Readable>& fds, Nanos timeout);

// Shared between processes. Returns after a wake, when *word != expected, after the timeout, or
// for no reason: always look again.
void futex_wait(const std::atomic<uint32_t>* word, uint32_t expected, Nanos timeout);
void futex_wake_one(const std::atomic<uint32_t>* word);
// How many were woken.
int futex_wake_all(const std::atomic<uint32_t>* word);

}  // namespace tanist
