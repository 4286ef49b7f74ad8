#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <thread>

#include "replicator/base/death_notice.h"
#include "tests/support/eventually.h"

namespace tanist {
namespace {

// A word that a forked child shares.
struct SharedWord {
    std::atomic<uint32_t>* word;
    SharedWord() {
        void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(at != MAP_FAILED);
        word = new (at) std::atomic<uint32_t>(0);
    }
    ~SharedWord() { ::munmap(word, 4096); }
    LifeSign sign() const { return life_sign(word->load()); }
};

}  // namespace

TEST_CASE_FIXTURE(SharedWord, "death_notice: whoever was killed is said to have died") {
    const pid_t child = ::fork();
    if (child == 0) {
        DeathNotice notice;
        notice.post(*word);
        for (;;) ::pause();
    }
    CHECK(testing::eventually([&] { return sign() == LifeSign::lives; }));
    ::kill(child, SIGKILL);
    CHECK(testing::eventually([&] { return sign() == LifeSign::died; }));
    ::waitpid(child, nullptr, 0);
}

TEST_CASE_FIXTURE(SharedWord, "death_notice: an orderly end is no death") {
    DeathNotice notice;
    notice.post(*word);
    CHECK(sign() == LifeSign::lives);
    notice.withdraw();
    CHECK(sign() == LifeSign::none);
}

TEST_CASE_FIXTURE(SharedWord, "death_notice: who comes after the dead posts in the same word") {
    const pid_t child = ::fork();
    if (child == 0) {
        DeathNotice notice;
        notice.post(*word);
        ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(child, nullptr, 0);
    CHECK(sign() == LifeSign::died);
    DeathNotice notice;
    notice.post(*word);
    CHECK(sign() == LifeSign::lives);
}

}  // namespace tanist
