#include "replicator/sync/sync_log.h"

#include "replicator/base/file.h"
#include "replicator/sync/install_plan.h"

namespace tanist {

Result<std::unique_ptr<Log>> SyncLogFiles::begin(GroupId group, const LogPoint& from,
                                                 const LogOptions& options) const {
    TANIST_TRY(drop());
    return Log::create(path(), group, from, options);
}

// The plan first, and durably: it says that the others are needed.
Status SyncLogFiles::drop() const {
    if (has_install_plan(base_)) TANIST_TRY(remove_install_plan(base_));
    return remove(path());
}

bool SyncLogFiles::is_moving() const { return path_exists(moving()); }

Status SyncLogFiles::keep() const {
    if (has_install_plan(base_)) {
        TANIST_TRY(remove_files_of(log_));
        TANIST_TRY(sync_directory(log_));
        TANIST_TRY(rename_path(base_ + "/install", moving()));
        TANIST_TRY(sync_directory(base_));
    }
    if (path_exists(path())) {
        Result<std::vector<std::string>> names = list_directory(path());
        if (!names) return std::move(names).error();
        for (const std::string& name : *names) {
            TANIST_TRY(rename_path(path() + "/" + name, log_ + "/" + name));
        }
        TANIST_TRY(sync_directory(log_));
        TANIST_TRY(sync_directory(path()));
        TANIST_TRY(remove(path()));
    }
    TANIST_TRY(remove_path(moving()));
    return sync_directory(base_);
}

Status SyncLogFiles::remove_files_of(const std::string& directory) const {
    Result<std::vector<std::string>> names = list_directory(directory);
    if (!names) return std::move(names).error();
    for (const std::string& name : *names) {
        const std::string path = directory + "/" + name;
        if (path == this->path()) continue;
        TANIST_TRY(remove_path(path));
    }
    return ok_status();
}

Status SyncLogFiles::remove(const std::string& directory) const {
    if (!path_exists(directory)) return ok_status();
    TANIST_TRY(remove_files_of(directory));
    TANIST_TRY(remove_path(directory));
    return sync_directory(log_);
}

}  // namespace tanist
