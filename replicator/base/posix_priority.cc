#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "replicator/base/priority.h"

namespace tanist {
namespace {

// The kernel's struct sched_attr, first version, which glibc does not declare.
struct SchedulerWish {
    uint32_t size = sizeof(SchedulerWish);
    uint32_t policy = SCHED_OTHER;
    uint64_t flags = 0;
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t runtime_ns = 0;  // SCHED_OTHER: the slice that is asked for
    uint64_t deadline_ns = 0;
    uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulerWish) == 48);

constexpr uint64_t kShortestSliceNs = 100'000;

}  // namespace

// On Linux "process 0" is the calling thread alone.
void give_way(int steps) {
    constexpr int kLowest = 19;
    errno = 0;
    const int now = ::getpriority(PRIO_PROCESS, 0);
    if (errno != 0) return;
    ::setpriority(PRIO_PROCESS, 0, std::min(kLowest, now + steps));
}

void run_soon_after_waking() {
    errno = 0;
    SchedulerWish wish;
    wish.nice = ::getpriority(PRIO_PROCESS, 0);
    wish.runtime_ns = kShortestSliceNs;
    if (errno == 0) ::syscall(SYS_sched_setattr, 0, &wish, 0);
}

}  // namespace tanist
