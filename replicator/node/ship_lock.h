// The flock on <db>-tanist/ship.lock: whoever holds it serves this database, as engine or replica.
// The kernel gives it back when the holder dies. The file's text is the holder's pid, for people.
#pragma once

#include <cstdint>
#include <string>

#include "replicator/base/clock.h"
#include "replicator/base/file.h"

namespace tanist {

class ShipLock {
  public:
    // busy: another process serves this database; its pid is in the message.
    static Result<ShipLock> take(const std::string& path);
    ShipLock() = default;
    ShipLock(ShipLock&&) noexcept = default;
    ShipLock& operator=(ShipLock&&) noexcept = default;
    ~ShipLock() { release(); }
    void release();
    uint32_t pid() const { return pid_; }

  private:
    File file_;
    uint32_t pid_ = 0;
};

// True when the descriptor became readable within the time.
bool wait_readable(int fd, Nanos timeout);

}  // namespace tanist
