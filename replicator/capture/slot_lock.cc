#include "replicator/capture/slot_lock.h"

namespace tanist {

Result<bool> SlotLock::take(int first, int count) {
    Status locked = handle_.lock(first, count, true);
    if (locked.ok()) {
        first_ = first;
        count_ = count;
        return true;
    }
    if (locked.error().code == Errc::busy) return false;
    return std::move(locked).error();
}

Result<bool> SlotLock::take_before(Instant deadline, int first, int count) {
    for (;;) {
        Result<bool> taken = take(first, count);
        if (!taken || *taken || boot_now() >= deadline) return taken;
    }
}

void SlotLock::give() {
    if (count_ != 0) handle_.unlock(first_, count_, true);
    count_ = 0;
}

}  // namespace tanist
