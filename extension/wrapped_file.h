// What SQLite allocates for one of our files: this, then the real file of the VFS beneath.
#pragma once

#include "extension/host.h"

namespace tanist {

struct DatabaseFile;

struct WrappedFile {
    sqlite3_file base;
    DatabaseFile* database;  // owned by the main database's file; a -wal file only refers to it
};
constexpr int kRealFileAt = (sizeof(WrappedFile) + 15) / 16 * 16;

inline WrappedFile* wrapped(sqlite3_file* file) { return reinterpret_cast<WrappedFile*>(file); }
inline sqlite3_file* real_of(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + kRealFileAt);
}

}  // namespace tanist
