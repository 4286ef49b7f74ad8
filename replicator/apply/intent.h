// The intent file: which LSN the replica's database is at. Format: docs/log-format.md, section
// "intent". Two checksummed slots in one small file, written in turn; the newest valid one wins.
//
// Before a local commit that takes the database from `done` to `target`, {done, target} is written.
// After a crash the database is at one of them; the next commit covers everything from `done` to at
// least `target` as one transaction, so no reader goes back in time.
#pragma once

#include <optional>
#include <string>

#include "replicator/base/file.h"
#include "replicator/log/log.h"

namespace tanist {

struct Intent {
    LogPoint done;
    LogPoint target;  // equal to done when nothing is under way
    bool operator==(const Intent&) const = default;
};

class IntentFile {
  public:
    static Result<IntentFile> open(const std::string& path);  // creates
    std::optional<Intent> read() const;                       // nothing: never written
    Status write(const Intent& intent, bool durable);

  private:
    File file_;
    uint64_t generation_ = 0;
};

}  // namespace tanist
