// What the writer was told about each attempt to commit, and how far a reader of the replica has
// seen: memory of the test, mapped by all its processes, outside of every simulated machine.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace tanist::crash {

enum class Outcome : uint8_t {
    none = 0,
    unanswered = 1,    // begun; the writer died, or is still at it
    acknowledged = 2,  // COMMIT returned success
    refused = 3,       // an error, rolled back
    unconfirmed = 4,   // an error that says: committed here, not confirmed by replicas
};

enum class GoBack : uint8_t {
    no = 0,
    over_unanswered = 1,  // never behind what an application was told
    over_any = 2,
    over_last = 3,  // one commit
};

struct Board {
    static constexpr uint64_t kAttemptsMax = 1u << 20;
    std::atomic<uint64_t> attempts;  // the number of the last one; they only grow
    std::array<std::atomic<Outcome>, kAttemptsMax> outcomes;
    std::atomic<uint64_t> acknowledged_lsn;  // of the last COMMIT under a synchronous rule
    std::atomic<uint64_t> refusals;          // of the rule, not SQLITE_BUSY
    // The reader. After a power cut the replica may go back once, as far as GoBack says.
    std::atomic<uint64_t> shown;
    std::atomic<GoBack> may_go_back;
    std::atomic<uint64_t> looks;
    std::atomic<uint64_t> went_back;

    uint64_t begin_attempt() {
        const uint64_t attempt = ++attempts;
        outcomes[attempt % kAttemptsMax].store(Outcome::unanswered);
        return attempt;
    }
    void answer(uint64_t attempt, Outcome outcome) {
        outcomes[attempt % kAttemptsMax].store(outcome);
    }
    // Whether an attempt between the two was committed for certain.
    bool committed_between(uint64_t older, uint64_t newer) const {
        for (uint64_t attempt = older + 1; attempt < newer; ++attempt) {
            const Outcome had = outcome(attempt);
            if (had == Outcome::acknowledged || had == Outcome::unconfirmed) return true;
        }
        return false;
    }
    Outcome outcome(uint64_t attempt) const { return outcomes[attempt % kAttemptsMax].load(); }

    // Maps `path`, made when absent; stays mapped until the process ends. Null on failure.
    static Board* map(const std::string& path) {
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 || ::ftruncate(fd, sizeof(Board)) != 0) return nullptr;
        void* memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ::close(fd);
        return memory == MAP_FAILED ? nullptr : static_cast<Board*>(memory);
    }
};

}  // namespace tanist::crash
