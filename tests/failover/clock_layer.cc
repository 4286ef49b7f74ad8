// Preloaded into a node's daemon and application: their wall clock is off by what a file says, so
// that a test can step it, for that node alone and while they run. The clocks that only count
// (CLOCK_MONOTONIC, CLOCK_BOOTTIME) cannot be set on a real machine either and stay as they are.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

constexpr int64_t kSecond = 1'000'000'000;

const std::atomic<int64_t>* map_offset() {
    const char* path = std::getenv("TANIST_TEST_CLOCK");
    const int fd = path != nullptr ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return nullptr;
    void* at = ::mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    return at == MAP_FAILED ? nullptr : static_cast<const std::atomic<int64_t>*>(at);
}

int64_t wall_ns() {
    static const auto real =
        reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
    static const std::atomic<int64_t>* const offset = map_offset();
    timespec now{};
    real(CLOCK_REALTIME, &now);
    return now.tv_sec * kSecond + now.tv_nsec + (offset != nullptr ? offset->load() : 0);
}

}  // namespace

EXPORTED int clock_gettime(clockid_t clock, timespec* out) noexcept {
    static const auto real =
        reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return real(clock, out);
    const int64_t now = wall_ns();
    *out = {now / kSecond, now % kSecond};
    return 0;
}

EXPORTED int gettimeofday(timeval* out, void*) noexcept {
    const int64_t now = wall_ns();
    *out = {now / kSecond, now % kSecond / 1000};
    return 0;
}

EXPORTED time_t time(time_t* out) noexcept {
    const time_t now = wall_ns() / kSecond;
    if (out != nullptr) *out = now;
    return now;
}
