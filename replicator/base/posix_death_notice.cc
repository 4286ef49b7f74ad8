#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replicator/base/death_notice.h"
#include "replicator/base/event.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t kStarting = 0;
constexpr uint32_t kPosted = 1;
constexpr uint32_t kEnding = 2;
constexpr Nanos kForLong = 1h;

void wait_while(const std::atomic<uint32_t>& state, uint32_t value) {
    while (state.load() == value) futex_wait(&state, value, kForLong);
}

// The kernel follows the calling thread's list when that ends, and sets FUTEX_OWNER_DIED in each
// word of it that holds the thread's id. For a while this one is in place of the C library's, which
// is for mutexes that the thread does not lock.
class RobustList {
  public:
    explicit RobustList(std::atomic<uint32_t>& word) {
        head_.list.next = &entry_;
        entry_.next = &head_.list;
        head_.futex_offset =
            reinterpret_cast<intptr_t>(&word) - reinterpret_cast<intptr_t>(&entry_);
        known_ = ::syscall(SYS_get_robust_list, 0, &former_, &bytes_) == 0 &&
                 ::syscall(SYS_set_robust_list, &head_, sizeof head_) == 0;
    }
    ~RobustList() {
        if (known_) ::syscall(SYS_set_robust_list, former_, bytes_);
    }
    RobustList(const RobustList&) = delete;
    RobustList& operator=(const RobustList&) = delete;
    bool known() const { return known_; }

  private:
    robust_list entry_{};
    robust_list_head head_{};
    robust_list_head* former_ = nullptr;
    size_t bytes_ = 0;
    bool known_ = false;
};

void own(std::atomic<uint32_t>& word, std::atomic<uint32_t>& state) {
    const RobustList list(word);
    if (list.known()) word.store(static_cast<uint32_t>(::syscall(SYS_gettid)));
    state.store(kPosted);
    futex_wake_all(&state);
    wait_while(state, kPosted);
    word.store(0);
}

}  // namespace

void DeathNotice::post(std::atomic<uint32_t>& word) {
    withdraw();
    word_ = &word;
    state_.store(kStarting);
    owner_ = std::thread([this] { own(*word_, state_); });
    wait_while(state_, kStarting);
}

void DeathNotice::withdraw() {
    if (!owner_.joinable()) return;
    state_.store(kEnding);
    futex_wake_all(&state_);
    owner_.join();
}

LifeSign life_sign(uint32_t word) {
    if ((word & FUTEX_OWNER_DIED) != 0) return LifeSign::died;
    return (word & FUTEX_TID_MASK) != 0 ? LifeSign::lives : LifeSign::none;
}

}  // namespace tanist
