// The host's SQLite, through the table it hands to extensions. Every file here that calls SQLite
// includes this and nothing else of it; linking a second SQLite into the process would break the
// POSIX locks of the first.
#pragma once

#include <sqlite3ext.h>

#include <string>

#include "replicator/base/notes.h"
SQLITE_EXTENSION_INIT3

namespace tanist {

// Answered by files of the VFS `tanist`: *static_cast<DatabaseFile**>(argument) is set.
constexpr int kFileControlDatabase = 0x5441'4E01;

// The extended codes of a refused write; the second half of the answer to "why": `tanist_status`.
constexpr int kReadOnlyHere = SQLITE_READONLY | (84 << 8);  // not the primary, or fenced
constexpr int kUnreplicated = SQLITE_READONLY | (85 << 8);  // rollback journal: nothing captures it
// A synchronous commit whose rule was not met. Never SQLITE_BUSY: SQLite would let COMMIT be tried
// again, and the WAL's checksums would no longer fit (sqlite-facts 0.4).
constexpr int kNotConfirmed = SQLITE_IOERR | (84 << 8);  // rolled back here; elsewhere not known
constexpr int kCommittedUnconfirmed = SQLITE_IOERR | (85 << 8);  // committed here
constexpr int kRuleImpossible = SQLITE_READONLY | (86 << 8);  // can never be met; nothing was begun

// The sink for notes: the application's stderr is not ours.
void note_to_sqlite(NoteLevel level, const std::string& line);

}  // namespace tanist
