// Where the records of a delta sync are until it is installed, log/next, and how they then take the
// place of the log that belonged to the database before.
//
// keep() is begun when the database is at the install plan's end:
//   1. the old log's files are removed
//   2. base/install becomes base/moving, by rename
//   3. the files in log/next move to log/; log/next and base/moving are removed
// Each is on the disk before the next one begins. What was cut short is completed by calling keep()
// again, which a start does while there is one of the two files. Without them log/next does not
// count, and drop() removes it. Directories are never renamed: log/ may be a mount point.
#pragma once

#include <memory>
#include <string>

#include "replicator/log/log.h"

namespace tanist {

class SyncLogFiles {
  public:
    // `log` is the directory of the log that belongs to the database, `base` that of the sync.
    SyncLogFiles(std::string log, std::string base)
        : log_(std::move(log)), base_(std::move(base)) {}
    std::string path() const { return log_ + "/next"; }
    // An empty one, whatever was there before.
    Result<std::unique_ptr<Log>> begin(GroupId group, const LogPoint& from,
                                       const LogOptions& options) const;
    Status drop() const;
    Status keep() const;
    bool is_moving() const;  // keep() was cut short in its third step

  private:
    std::string moving() const { return base_ + "/moving"; }
    Status remove_files_of(const std::string& directory) const;
    Status remove(const std::string& directory) const;

    std::string log_;
    std::string base_;
};

}  // namespace tanist
