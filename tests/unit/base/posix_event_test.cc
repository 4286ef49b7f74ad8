#include <doctest/doctest.h>
#include <poll.h>

#include <thread>

#include "replicator/base/event.h"
#include "replicator/base/random.h"

namespace tanist {
namespace {

bool is_signalled(const Event& event) {
    pollfd p{event.fd(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
}

}  // namespace

TEST_CASE("event: is readable from signal to drain, however many signals") {
    Event event;
    CHECK(!is_signalled(event));
    event.drain();
    event.signal();
    event.signal();
    CHECK(is_signalled(event));
    event.drain();
    CHECK(!is_signalled(event));
}

TEST_CASE("futex: returns at once when the word has changed already, and without time") {
    std::atomic<uint32_t> word{1};
    const Instant start = boot_now();
    futex_wait(&word, 0, std::chrono::hours(1));
    futex_wait(&word, 1, Nanos(0));
    CHECK(boot_now() - start < std::chrono::minutes(10));
}

TEST_CASE("futex: a wake ends the wait") {
    std::atomic<uint32_t> word{0};
    std::thread other([&] {
        word = 1;
        futex_wake_all(&word);
    });
    while (word == 0) futex_wait(&word, 0, std::chrono::hours(1));
    other.join();
    CHECK(word == 1);
}

TEST_CASE("clock: boot time does not go back") {
    const Instant a = boot_now();
    const Instant b = boot_now();
    CHECK(a <= b);
    CHECK(unix_now_ns() > 1'600'000'000'000'000'000);
}

TEST_CASE("random: ids differ") {
    CHECK(random_id<GroupId>() != random_id<GroupId>());
    CHECK(random_u64() != random_u64());
}

}  // namespace tanist
