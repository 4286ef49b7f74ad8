// <db>-tanist/promise: until when the holder of an epoch may count on this voter. It is true in the
// boot of the machine in which it was written, whatever becomes of this process, and so it is not
// synced; in another boot it means nothing. Format: docs/failover.md.
#pragma once

#include <optional>
#include <string>

#include "failover/core/voter.h"
#include "replicator/base/file.h"

namespace tanist {

class PromiseFile {
  public:
    static Result<PromiseFile> open(const std::string& path);
    // Nothing: none of this boot.
    std::optional<failover::Promise> read() const;
    Status write(const failover::Promise& promise);

  private:
    File file_;
};

}  // namespace tanist
