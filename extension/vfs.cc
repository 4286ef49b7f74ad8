#include "extension/vfs.h"

#include <cstring>
#include <memory>
#include <new>

#include "extension/database_file.h"
#include "extension/host.h"
#include "extension/pragmas.h"
#include "extension/wal_file.h"
#include "extension/wrapped_file.h"

namespace tanist {
namespace {

DatabaseFile& database(sqlite3_file* file) { return *wrapped(file)->database; }

// Runs `body`, which may throw, and turns what it throws into `failed`.
template <class Body>
int guarded(int failed, Body body) noexcept {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return SQLITE_NOMEM;
    } catch (...) {
        return failed;
    }
}

int file_close(sqlite3_file* file) noexcept {
    const int rc = real_of(file)->pMethods->xClose(real_of(file));
    delete wrapped(file)->database;
    wrapped(file)->database = nullptr;
    file->pMethods = nullptr;
    return rc;
}
int file_read(sqlite3_file* file, void* out, int count, sqlite3_int64 offset) noexcept {
    const int rc = real_of(file)->pMethods->xRead(real_of(file), out, count, offset);
    if (rc == SQLITE_OK) WriteVersion::show_from_database(out, count, offset);
    return rc;
}
// In WAL mode only checkpoints write here.
int file_write(sqlite3_file* file, const void* in, int count, sqlite3_int64 offset) noexcept {
    return guarded(SQLITE_IOERR, [&] {
        const void* bytes = database(file).write_version.restore(in, count, offset);
        return real_of(file)->pMethods->xWrite(real_of(file), bytes, count, offset);
    });
}
int file_truncate(sqlite3_file* file, sqlite3_int64 bytes) noexcept {
    return real_of(file)->pMethods->xTruncate(real_of(file), bytes);
}
int file_sync(sqlite3_file* file, int flags) noexcept {
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}
int file_size(sqlite3_file* file, sqlite3_int64* bytes) noexcept {
    return real_of(file)->pMethods->xFileSize(real_of(file), bytes);
}

// In WAL mode SQLite takes more than a shared lock only to delete the WAL: at the last close, or to
// leave WAL mode. The engine may not have seen its end yet. Outside WAL mode it takes one to write,
// which nothing would capture, and to play back a hot journal, which must pass.
int file_lock(sqlite3_file* file, int level) noexcept {
    DatabaseFile& db = database(file);
    if (db.gate.region() != nullptr) {
        if (level == SQLITE_LOCK_EXCLUSIVE) return SQLITE_BUSY;
    } else if (level == SQLITE_LOCK_RESERVED && !db.switching) {
        return kUnreplicated;
    }
    db.switch_began |= level == SQLITE_LOCK_RESERVED;
    return real_of(file)->pMethods->xLock(real_of(file), level);
}
int file_unlock(sqlite3_file* file, int level) noexcept {
    DatabaseFile& db = database(file);
    if (level == SQLITE_LOCK_NONE && db.switch_began) db.switching = db.switch_began = false;
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
int file_check_reserved_lock(sqlite3_file* file, int* held) noexcept {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), held);
}
int file_sector_size(sqlite3_file* file) noexcept {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
int file_device_characteristics(sqlite3_file* file) noexcept {
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

int file_control(sqlite3_file* file, int op, void* argument) noexcept {
    DatabaseFile& db = database(file);
    switch (op) {
        case kFileControlDatabase:
            *static_cast<DatabaseFile**>(argument) = &db;
            return SQLITE_OK;
        case SQLITE_FCNTL_PERSIST_WAL:
            // The WAL stays at the last close; a program's own wish cannot change that.
            *static_cast<int*>(argument) = 1;
            return SQLITE_OK;
        case SQLITE_FCNTL_PRAGMA: {
            auto** words = static_cast<char**>(argument);
            const int rc = guarded(SQLITE_ERROR, [&] { return run_pragma(db, words); });
            if (rc != SQLITE_NOTFOUND) return rc;
            break;
        }
        case SQLITE_FCNTL_COMMIT_PHASETWO: {
            const int rc = real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
            if (rc != SQLITE_OK && rc != SQLITE_NOTFOUND) return rc;
            const int confirmed = guarded(SQLITE_IOERR, [&] { return db.commits.confirm(db); });
            return confirmed == SQLITE_OK ? rc : confirmed;
        }
        case SQLITE_FCNTL_VFSNAME: {
            const int rc = real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
            if (rc == SQLITE_OK) {
                auto** name = static_cast<char**>(argument);
                *name = sqlite3_mprintf("tanist/%z", *name);
            }
            return rc;
        }
        default:
            break;
    }
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

int file_shm_map(sqlite3_file* file, int region, int bytes, int extend,
                 void volatile** out) noexcept {
    const int rc = real_of(file)->pMethods->xShmMap(real_of(file), region, bytes, extend, out);
    if (region == 0 && rc == SQLITE_OK) database(file).gate.set_region(*out);
    return rc;
}
int file_shm_lock(sqlite3_file* file, int first, int count, int flags) noexcept {
    DatabaseFile& db = database(file);
    return guarded(SQLITE_IOERR,
                   [&] { return db.gate.lock(db, real_of(file), first, count, flags); });
}
void file_shm_barrier(sqlite3_file* file) noexcept {
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}
int file_shm_unmap(sqlite3_file* file, int remove) noexcept {
    database(file).gate.set_region(nullptr);
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}
int file_fetch(sqlite3_file* file, sqlite3_int64 offset, int count, void** out) noexcept {
    if (!WriteVersion::may_map(offset)) {
        *out = nullptr;
        return SQLITE_OK;
    }
    return real_of(file)->pMethods->xFetch(real_of(file), offset, count, out);
}
int file_unfetch(sqlite3_file* file, sqlite3_int64 offset, void* page) noexcept {
    return real_of(file)->pMethods->xUnfetch(real_of(file), offset, page);
}

constexpr sqlite3_io_methods kMethods = {
    3,
    file_close,
    file_read,
    file_write,
    file_truncate,
    file_sync,
    file_size,
    file_lock,
    file_unlock,
    file_check_reserved_lock,
    file_control,
    file_sector_size,
    file_device_characteristics,
    file_shm_map,
    file_shm_lock,
    file_shm_barrier,
    file_shm_unmap,
    file_fetch,
    file_unfetch,
};

// A database whose open is refused. What xOpen returns would reach the application as "unable to
// open database file"; so the open succeeds, on nothing, until entry.cc fails it with the sentence.
// ATTACH has no such moment and fails with SQLite's own words; the log has ours.
int refused_close(sqlite3_file* file) noexcept {
    delete wrapped(file)->database;
    wrapped(file)->database = nullptr;
    file->pMethods = nullptr;
    return SQLITE_OK;
}
int refused_read(sqlite3_file*, void* out, int count, sqlite3_int64) noexcept {
    std::memset(out, 0, static_cast<size_t>(count));
    return SQLITE_IOERR_SHORT_READ;
}
int refused_write(sqlite3_file*, const void*, int, sqlite3_int64) noexcept {
    return SQLITE_CANTOPEN;
}
int refused_truncate(sqlite3_file*, sqlite3_int64) noexcept { return SQLITE_CANTOPEN; }
int refused_sync(sqlite3_file*, int) noexcept { return SQLITE_OK; }
int refused_size(sqlite3_file*, sqlite3_int64*) noexcept { return SQLITE_CANTOPEN; }
int refused_lock(sqlite3_file*, int) noexcept { return SQLITE_CANTOPEN; }
int refused_unlock(sqlite3_file*, int) noexcept { return SQLITE_OK; }
int refused_check_reserved_lock(sqlite3_file*, int* held) noexcept {
    *held = 0;
    return SQLITE_OK;
}
int refused_control(sqlite3_file* file, int op, void* argument) noexcept {
    DatabaseFile& db = database(file);
    if (op == kFileControlDatabase) {
        *static_cast<DatabaseFile**>(argument) = &db;
        return SQLITE_OK;
    }
    if (op != SQLITE_FCNTL_PRAGMA) return SQLITE_NOTFOUND;
    static_cast<char**>(argument)[0] = sqlite3_mprintf("%s", db.refusal.c_str());
    return SQLITE_CANTOPEN;
}
int refused_sector_size(sqlite3_file*) noexcept { return 4096; }
int refused_device_characteristics(sqlite3_file*) noexcept { return 0; }

constexpr sqlite3_io_methods kRefusedMethods = {
    1,
    refused_close,
    refused_read,
    refused_write,
    refused_truncate,
    refused_sync,
    refused_size,
    refused_lock,
    refused_unlock,
    refused_check_reserved_lock,
    refused_control,
    refused_sector_size,
    refused_device_characteristics,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
};

sqlite3_vfs tanist_vfs;

sqlite3_vfs* root_vfs() { return static_cast<sqlite3_vfs*>(tanist_vfs.pAppData); }

// Null: not ours. Or one whose `refusal` says why it cannot be replicated.
std::unique_ptr<DatabaseFile> database_for(const char* name, int flags) {
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0 || name == nullptr) return nullptr;
    auto found = find_database(name, [&](const std::string& key) -> std::optional<std::string> {
        const char* value = sqlite3_uri_parameter(name, key.c_str());
        if (value == nullptr) return std::nullopt;
        return std::string(value);
    });
    if (found.ok() && *found == nullptr) return nullptr;
    std::string refusal;
    if (!found.ok()) {
        refusal = found.error().message;
    } else if (std::strcmp(root_vfs()->zName, "unix") != 0) {
        refusal = std::string(name) + " cannot be replicated over the VFS " + root_vfs()->zName +
                  "; only \"unix\" shares its locks with the engine";
    } else if (sqlite3_uri_boolean(name, "nolock", 0) != 0) {
        refusal = std::string(name) + " cannot be replicated with nolock=1; take it out";
    }
    auto database = found.ok() ? std::move(*found) : std::make_unique<DatabaseFile>(name);
    database->refusal = std::move(refusal);
    return database;
}

// The database that a -wal file belongs to, when it is one of ours.
DatabaseFile* database_of_wal(const char* name, int flags) {
    if ((flags & SQLITE_OPEN_WAL) == 0 || name == nullptr) return nullptr;
    if (sqlite3_libversion_number() < kOldestSqliteForWaiting) return nullptr;
    sqlite3_file* main = sqlite3_database_file_object(name);
    if (main == nullptr || main->pMethods != &kMethods) return nullptr;
    return wrapped(main)->database;
}

int vfs_open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags,
             int* out_flags) noexcept {
    file->pMethods = nullptr;
    if (DatabaseFile* database = database_of_wal(name, flags); database != nullptr) {
        return open_wal_file(root_vfs(), name, file, flags, out_flags, *database);
    }
    std::unique_ptr<DatabaseFile> db;
    int rc = guarded(SQLITE_CANTOPEN, [&] {
        db = database_for(name, flags);
        return SQLITE_OK;
    });
    if (rc != SQLITE_OK) return rc;
    if (db != nullptr && !db->refusal.empty()) {
        sqlite3_log(SQLITE_CANTOPEN, "tanist: %s", db->refusal.c_str());
        if (out_flags != nullptr) *out_flags = flags;
        wrapped(file)->database = db.release();
        file->pMethods = &kRefusedMethods;
        return SQLITE_OK;
    }
    if (db == nullptr) return root_vfs()->xOpen(root_vfs(), name, file, flags, out_flags);
    int opened_flags = flags;
    rc = root_vfs()->xOpen(root_vfs(), name, real_of(file), flags, &opened_flags);
    if (out_flags != nullptr) *out_flags = opened_flags;
    if (rc != SQLITE_OK) {
        if (real_of(file)->pMethods != nullptr) real_of(file)->pMethods->xClose(real_of(file));
        return rc;
    }
    db->writable = (opened_flags & SQLITE_OPEN_READWRITE) != 0;
    wrapped(file)->database = db.release();
    file->pMethods = &kMethods;
    return SQLITE_OK;
}

// The root VFS finds its own data through the pointer it is called with, so it is handed itself.
int vfs_delete(sqlite3_vfs*, const char* name, int sync) noexcept {
    return root_vfs()->xDelete(root_vfs(), name, sync);
}
int vfs_access(sqlite3_vfs*, const char* name, int flags, int* out) noexcept {
    return root_vfs()->xAccess(root_vfs(), name, flags, out);
}
int vfs_full_pathname(sqlite3_vfs*, const char* name, int bytes, char* out) noexcept {
    return root_vfs()->xFullPathname(root_vfs(), name, bytes, out);
}
void* vfs_dl_open(sqlite3_vfs*, const char* name) noexcept {
    return root_vfs()->xDlOpen(root_vfs(), name);
}
void vfs_dl_error(sqlite3_vfs*, int bytes, char* out) noexcept {
    root_vfs()->xDlError(root_vfs(), bytes, out);
}
using Symbol = void (*)(void);
Symbol vfs_dl_sym(sqlite3_vfs*, void* library, const char* name) noexcept {
    return root_vfs()->xDlSym(root_vfs(), library, name);
}
void vfs_dl_close(sqlite3_vfs*, void* library) noexcept {
    root_vfs()->xDlClose(root_vfs(), library);
}
int vfs_randomness(sqlite3_vfs*, int bytes, char* out) noexcept {
    return root_vfs()->xRandomness(root_vfs(), bytes, out);
}
int vfs_sleep(sqlite3_vfs*, int micros) noexcept { return root_vfs()->xSleep(root_vfs(), micros); }
int vfs_current_time(sqlite3_vfs*, double* out) noexcept {
    return root_vfs()->xCurrentTime(root_vfs(), out);
}
int vfs_get_last_error(sqlite3_vfs*, int bytes, char* out) noexcept {
    return root_vfs()->xGetLastError(root_vfs(), bytes, out);
}
int vfs_current_time_int64(sqlite3_vfs*, sqlite3_int64* out) noexcept {
    return root_vfs()->xCurrentTimeInt64(root_vfs(), out);
}
int vfs_set_system_call(sqlite3_vfs*, const char* name, sqlite3_syscall_ptr call) noexcept {
    return root_vfs()->xSetSystemCall(root_vfs(), name, call);
}
sqlite3_syscall_ptr vfs_get_system_call(sqlite3_vfs*, const char* name) noexcept {
    return root_vfs()->xGetSystemCall(root_vfs(), name);
}
const char* vfs_next_system_call(sqlite3_vfs*, const char* name) noexcept {
    return root_vfs()->xNextSystemCall(root_vfs(), name);
}

void fill_vfs(sqlite3_vfs* root) {
    tanist_vfs = sqlite3_vfs{};
    tanist_vfs.iVersion = root->iVersion < 3 ? root->iVersion : 3;
    tanist_vfs.szOsFile = kRealFileAt + root->szOsFile;
    tanist_vfs.mxPathname = root->mxPathname;
    tanist_vfs.zName = "tanist";
    tanist_vfs.pAppData = root;
    tanist_vfs.xOpen = vfs_open;
    tanist_vfs.xDelete = vfs_delete;
    tanist_vfs.xAccess = vfs_access;
    tanist_vfs.xFullPathname = vfs_full_pathname;
    tanist_vfs.xDlOpen = vfs_dl_open;
    tanist_vfs.xDlError = vfs_dl_error;
    tanist_vfs.xDlSym = vfs_dl_sym;
    tanist_vfs.xDlClose = vfs_dl_close;
    tanist_vfs.xRandomness = vfs_randomness;
    tanist_vfs.xSleep = vfs_sleep;
    tanist_vfs.xCurrentTime = vfs_current_time;
    tanist_vfs.xGetLastError = vfs_get_last_error;
    tanist_vfs.xCurrentTimeInt64 = vfs_current_time_int64;
    tanist_vfs.xSetSystemCall = vfs_set_system_call;
    tanist_vfs.xGetSystemCall = vfs_get_system_call;
    tanist_vfs.xNextSystemCall = vfs_next_system_call;
}

}  // namespace

int register_vfs(bool make_default) {
    if (sqlite3_vfs_find("tanist") == nullptr) {
        sqlite3_vfs* root = sqlite3_vfs_find(nullptr);
        if (root == nullptr) return SQLITE_ERROR;
        fill_vfs(root);
    } else if (tanist_vfs.pAppData == nullptr) {
        return SQLITE_ERROR;  // somebody else's "tanist"
    }
    return sqlite3_vfs_register(&tanist_vfs, make_default ? 1 : 0);
}

}  // namespace tanist
