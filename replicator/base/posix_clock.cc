#include <time.h>

#include "replicator/base/clock.h"

namespace tanist {
namespace {

int64_t read_clock(clockid_t clock) {
    timespec t{};
    ::clock_gettime(clock, &t);
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

Instant boot_now() { return {read_clock(CLOCK_BOOTTIME)}; }
int64_t unix_now_ns() { return read_clock(CLOCK_REALTIME); }

}  // namespace tanist
