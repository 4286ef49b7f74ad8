// A word in shared memory in which the kernel itself says that a process was killed.
//
// A lock file says it too, but late: a killed process keeps its locks until its last thread is
// gone, and one that is inside an fsync can take a second to die. Here a thread that does nothing
// but wait is the owner of a robust futex, so the word changes as soon as that thread ends, and
// whoever wants to know reads one word.
//
// It says nothing of a process that is stopped or hangs. The process may still be at work in a
// system call after it: only the lock says that it is gone.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace tanist {

class DeathNotice {
  public:
    DeathNotice() = default;
    ~DeathNotice() { withdraw(); }
    DeathNotice(const DeathNotice&) = delete;
    DeathNotice& operator=(const DeathNotice&) = delete;

    // Requires: nobody else who lives has posted one in `word`, which outlives this and lies in
    // memory that is shared with whoever reads it. Where the kernel knows no robust futex the word
    // stays 0.
    void post(std::atomic<uint32_t>& word);
    // An orderly end: the word is 0.
    void withdraw();

  private:
    std::atomic<uint32_t>* word_ = nullptr;
    std::atomic<uint32_t> state_{0};  // futex word: the thread's own progress, or that it is to end
    std::thread owner_;
};

enum class LifeSign {
    none,  // nobody posted a notice, or it was withdrawn
    lives,
    died
};
LifeSign life_sign(uint32_t word);

}  // namespace tanist
