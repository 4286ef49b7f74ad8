#include "replicator/base/group_sync.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>

namespace tanist {
namespace {

constexpr int kThrew = -1;

struct Registry {
    explicit Registry(int64_t p) : process(p) {}
    const int64_t process;
    std::mutex mutex;
    std::map<std::string, std::weak_ptr<GroupSync>> groups;
};

// A child of fork() begins a new one: in the old one the mutex may be held, and a sync may be
// under way, by threads that it does not have. The old one stays, since nothing of it can be
// trusted.
Registry& registry() {
    static std::atomic<Registry*> current{nullptr};
    const auto self = static_cast<int64_t>(getpid());
    Registry* found = current.load(std::memory_order_acquire);
    while (found == nullptr || found->process != self) {
        auto made = std::make_unique<Registry>(self);
        if (current.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel))
            return *made.release();
    }
    return *found;
}

}  // namespace

std::shared_ptr<GroupSync> GroupSync::of(const std::string& path) {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    std::erase_if(all.groups, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<GroupSync>& place = all.groups[path];
    std::shared_ptr<GroupSync> group = place.lock();
    if (group == nullptr) place = group = std::make_shared<GroupSync>();
    return group;
}

GroupSync::Ticket GroupSync::ask(uint64_t generation) {
    const std::lock_guard lock(mutex_);
    if (failure_ != 0 && bad_to_ == UINT64_MAX && generation != generation_) bad_to_ = asked_;
    generation_ = generation;
    return ++asked_;
}

void GroupSync::help(Ticket ticket, const Sync& sync) {
    std::unique_lock lock(mutex_);
    if (!syncing_ && done_ < ticket) lead(lock, sync);
}

int GroupSync::await(Ticket ticket, const Sync& sync) {
    std::unique_lock lock(mutex_);
    while (done_ < ticket) {
        if (syncing_) {
            settled_.wait(lock);
        } else {
            lead(lock, sync);
        }
    }
    return is_bad(ticket) ? failure_ : 0;
}

void GroupSync::lead(std::unique_lock<std::mutex>& lock, const Sync& sync) {
    const Ticket covered = asked_;
    syncing_ = true;
    lock.unlock();
    int code = kThrew;
    try {
        code = sync();
    } catch (...) {  // whoever waits must not wait for ever
    }
    lock.lock();
    syncing_ = false;
    if (code != 0) {
        bad_from_ = std::min(bad_from_, done_ + 1);
        bad_to_ = UINT64_MAX;
        failure_ = code;
    }
    done_ = std::max(done_, covered);
    settled_.notify_all();
}

}  // namespace tanist
