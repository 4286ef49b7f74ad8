// The PRAGMAs: own ones, and those that would take the database out of replication.
#pragma once

#include <string>

#include "replicator/base/result.h"

namespace tanist {

struct DatabaseFile;

// `words` as SQLITE_FCNTL_PRAGMA has them: result or error text out, name, value or null.
// SQLITE_NOTFOUND: not for us.
int run_pragma(DatabaseFile& file, char** words);

// The position of the last commit of this database, once it is captured (a replica: applied).
// unreachable: no engine captured it in time.
Result<std::string> position_text(DatabaseFile& file);
std::string role_text(const DatabaseFile& file);

}  // namespace tanist
