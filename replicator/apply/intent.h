// The intent file: which LSN the replica's database is at. Format: docs/log-format.md, section
// "intent". Four checksummed slots in one small file; the valid one written last wins.
//
// Before a local commit that takes the database from `done` to `target`, {done, target} is written.
// After a crash the database is at one of them; the next commit covers everything from `done` to at
// least `target` as one transaction, so no reader goes back in time.
//
// That needs no fsync while the machine stays up. When the machine itself went down (`boot` is of
// another boot), an unknown suffix of the database's own WAL may be missing, and an unknown suffix
// of this file too; the database is then somewhere from `durable` on, and at or before the log's
// end, because only durable records are applied. Everything from `durable` to the log's end is
// then one transaction. Slots written durably are never overwritten by others, so that a torn
// write without fsync cannot take the last durable point away.
#pragma once

#include <optional>
#include <string>

#include "replicator/base/file.h"
#include "replicator/log/log.h"

namespace tanist {

using BootId = Id128<struct BootTag>;

struct Intent {
    LogPoint done = {};
    LogPoint target = {};   // equal to done when nothing is under way
    LogPoint durable = {};  // the database's own fsync covers this point
    // A delta sync is being installed: the database is at no known point, though it is whole; only
    // another sync can go on from here.
    bool syncing = false;
    BootId boot = {};  // filled by IntentFile::write
    bool operator==(const Intent&) const = default;
};

class IntentFile {
  public:
    IntentFile() = default;  // not open
    // Creates. What it finds is on the disk when it returns.
    static Result<IntentFile> open(const std::string& path);
    std::optional<Intent> read() const;  // nothing: never written
    Status write(const Intent& intent, bool durable);

  private:
    explicit IntentFile(File file) : file_(std::move(file)) {}
    File file_;
    BootId boot_;
    uint64_t generation_ = 0;
    uint64_t writes_[2] = {0, 0};  // without and with fsync: which slot of the pair is next
};

}  // namespace tanist
