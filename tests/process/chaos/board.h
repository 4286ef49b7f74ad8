// A small file that all processes of a chaos run map: what writers were promised and how far
// readers have seen. It survives SIGKILL of any of them, which is why it is not a pipe.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace tanist::chaos {

struct WriterSlot {
    std::atomic<int64_t> promised;  // writer.seq of the last COMMIT that returned success
    std::atomic<uint64_t> commits;
    std::atomic<uint64_t> refused;  // SQLITE_BUSY and its kin
    std::atomic<uint64_t> errors;   // anything else
};

struct Board {
    static constexpr int kWriters = 8;
    std::array<WriterSlot, kWriters> writers;
    // meter.ticks as seen by any reader in a finished look. Read before a look begins, so it is a
    // floor for what the look may see.
    std::atomic<int64_t> ticks_seen;
    std::atomic<uint64_t> looks;          // finished looks of readers
    std::atomic<uint64_t> looks_refused;  // not now: no file yet, busy
    std::atomic<uint64_t> strays_refused;
    std::atomic<uint64_t> checkpoints;

    // Maps `path`, made when absent; stays mapped until the process ends. Null on failure.
    static Board* map(const std::string& path) {
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 || ::ftruncate(fd, sizeof(Board)) != 0) return nullptr;
        void* memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ::close(fd);
        return memory == MAP_FAILED ? nullptr : static_cast<Board*>(memory);
    }
    void saw_ticks(int64_t ticks) {
        int64_t seen = ticks_seen.load();
        while (seen < ticks && !ticks_seen.compare_exchange_weak(seen, ticks)) {
        }
    }
};

}  // namespace tanist::chaos
