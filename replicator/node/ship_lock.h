// The flock on <db>-tanist/ship.lock: whoever holds it serves this database, as engine or replica.
// The kernel gives it back when the holder dies. The file's text is the holder's pid, for people.
#pragma once

#include <cstdint>
#include <optional>
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

// The place in line behind the holder: of engines that are started while another one is dying or
// draining, one waits until it is really gone, and the others are not needed. An open file
// description's lock on the first byte of the same file, beside the flock; a child of fork keeps
// it.
class PlaceInLine {
  public:
    // Nothing: another process has it.
    static Result<std::optional<PlaceInLine>> take(const std::string& path);
    PlaceInLine(PlaceInLine&&) noexcept = default;
    PlaceInLine& operator=(PlaceInLine&&) noexcept = default;
    int fd() const { return file_.fd(); }

  private:
    PlaceInLine() = default;
    File file_;
};

// True when the descriptor became readable within the time.
bool wait_readable(int fd, Nanos timeout);

}  // namespace tanist
