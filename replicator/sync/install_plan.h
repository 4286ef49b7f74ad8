// What a delta sync's install was going to do, written before it does anything: <base>/install.
// While it is there, a start finishes the install. Format: docs/log-format.md, "Install".
#pragma once

#include <string>

#include "replicator/log/log.h"

namespace tanist {

struct InstallPlan {
    LogPoint base;  // of the sync
    LogPoint end;   // where the database is when the install is done
    uint32_t page_bytes = 0;
    uint32_t db_pages = 0;  // of the database then
    bool replaces = false;  // what is staged becomes the database; else the database is updated
    bool operator==(const InstallPlan&) const = default;
};

bool has_install_plan(const std::string& directory);
// not_found: none. corrupt: it cannot be understood.
Result<InstallPlan> read_install_plan(const std::string& directory);
// Durable when it returns, as is the removal.
Status write_install_plan(const std::string& directory, const InstallPlan& plan);
Status remove_install_plan(const std::string& directory);

}  // namespace tanist
