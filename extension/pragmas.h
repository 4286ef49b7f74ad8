// The PRAGMAs: own ones, and those that would take the database out of replication.
#pragma once

#include <optional>
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
// Where the primary listens, as this node last knew it; "" not known.
std::string primary_text(const DatabaseFile& file);
// Returns the position that is reached when the one asked for ("epoch:lsn") is readable here.
// unreachable: not within the connection's ack_timeout.
Result<std::string> wait_position(DatabaseFile& file, const std::string& wanted);

// One of `ack`, `commit_mode`, `ack_timeout`, `on_timeout` of this connection; sets it first when
// there is a value. It counts from the next transaction on.
Result<std::string> commit_setting(DatabaseFile& file, const std::string& name,
                                   const std::optional<std::string>& value);

}  // namespace tanist
