// An exclusive lock on slots of the wal-index. It goes with its scope.
#pragma once

#include "replicator/base/clock.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {

class SlotLock {
  public:
    // `handle` outlives the lock.
    explicit SlotLock(SqliteHandle& handle) : handle_(handle) {}
    ~SlotLock() { give(); }
    SlotLock(const SlotLock&) = delete;
    SlotLock& operator=(const SlotLock&) = delete;

    bool held() const { return count_ != 0; }
    // False: somebody holds one of them. Requires: !held().
    Result<bool> take(int first, int count);
    // Tries until `deadline`; at least once. A holder in another process cannot be waited for in
    // any other way.
    Result<bool> take_before(Instant deadline, int first, int count);
    void give();

  private:
    SqliteHandle& handle_;
    int first_ = 0;
    int count_ = 0;
};

}  // namespace tanist
