#include "extension/wal_file.h"

#include "extension/database_file.h"
#include "extension/host.h"
#include "extension/wrapped_file.h"
#include "replicator/wal/wal_format.h"

namespace tanist {
namespace {

const sqlite3_io_methods& real_methods(sqlite3_file* file) { return *real_of(file)->pMethods; }

int wal_close(sqlite3_file* file) noexcept {
    wrapped(file)->database->wal = nullptr;
    file->pMethods = nullptr;
    return real_methods(file).xClose(real_of(file));
}
int wal_read(sqlite3_file* file, void* out, int count, sqlite3_int64 offset) noexcept {
    const int rc = real_methods(file).xRead(real_of(file), out, count, offset);
    if (rc == SQLITE_OK) wrapped(file)->database->write_version.show_from_wal(out, count);
    return rc;
}
int wal_write(sqlite3_file* file, const void* in, int count, sqlite3_int64 offset) noexcept {
    DatabaseFile& db = *wrapped(file)->database;
    try {
        if (offset == 0 && count >= static_cast<int>(kWalHeaderBytes)) db.gate.wal_begins(db, in);
        return db.commits.write(db, real_of(file), in, count, offset);
    } catch (...) {
        return SQLITE_NOMEM;
    }
}
int wal_truncate(sqlite3_file* file, sqlite3_int64 bytes) noexcept {
    return real_methods(file).xTruncate(real_of(file), bytes);
}
int wal_sync(sqlite3_file* file, int flags) noexcept {
    return wrapped(file)->database->commits.sync(real_of(file), flags);
}
int wal_size(sqlite3_file* file, sqlite3_int64* bytes) noexcept {
    return real_methods(file).xFileSize(real_of(file), bytes);
}
int wal_lock(sqlite3_file* file, int level) noexcept {
    return real_methods(file).xLock(real_of(file), level);
}
int wal_unlock(sqlite3_file* file, int level) noexcept {
    return real_methods(file).xUnlock(real_of(file), level);
}
int wal_check_reserved_lock(sqlite3_file* file, int* held) noexcept {
    return real_methods(file).xCheckReservedLock(real_of(file), held);
}
int wal_file_control(sqlite3_file* file, int op, void* argument) noexcept {
    return real_methods(file).xFileControl(real_of(file), op, argument);
}
int wal_sector_size(sqlite3_file* file) noexcept {
    return real_methods(file).xSectorSize(real_of(file));
}
int wal_device_characteristics(sqlite3_file* file) noexcept {
    return real_methods(file).xDeviceCharacteristics(real_of(file));
}

// SQLite asks shared memory and memory maps of the main database only.
constexpr sqlite3_io_methods kWalMethods = {
    1,
    wal_close,
    wal_read,
    wal_write,
    wal_truncate,
    wal_sync,
    wal_size,
    wal_lock,
    wal_unlock,
    wal_check_reserved_lock,
    wal_file_control,
    wal_sector_size,
    wal_device_characteristics,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace

int open_wal_file(sqlite3_vfs* root, const char* name, sqlite3_file* file, int flags,
                  int* out_flags, DatabaseFile& database) {
    const int rc = root->xOpen(root, name, real_of(file), flags, out_flags);
    if (rc != SQLITE_OK) {
        if (real_of(file)->pMethods != nullptr) real_methods(file).xClose(real_of(file));
        return rc;
    }
    wrapped(file)->database = &database;
    file->pMethods = &kWalMethods;
    database.wal = real_of(file);
    database.commits.wal_opened();
    return SQLITE_OK;
}

}  // namespace tanist
