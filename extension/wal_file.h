// The -wal file of a replicated database: everything passes through; writes and syncs are shown to
// CommitWait, which may hold a commit back.
#pragma once

struct sqlite3_file;
struct sqlite3_vfs;

namespace tanist {

struct DatabaseFile;

// Opens `name` with `root` behind a wrapper for `database`, whose main file outlives it. An SQLite
// result code.
int open_wal_file(sqlite3_vfs* root, const char* name, sqlite3_file* file, int flags,
                  int* out_flags, DatabaseFile& database);

}  // namespace tanist
