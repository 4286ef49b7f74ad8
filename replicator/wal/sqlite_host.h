// The SqliteApi of an application: filled from the routines that its SQLite hands to extensions.
#pragma once

#include "replicator/wal/sqlite_api.h"

struct sqlite3_api_routines;

namespace tanist {

SqliteApi host_sqlite(const sqlite3_api_routines* routines);

}  // namespace tanist
