#include "tests/crash/step_vfs.h"

#include <dlfcn.h>
#include <sqlite3.h>

#include <cstring>

namespace tanist::crash {
namespace {

// What SQLite allocates for one file: this, then the file of the VFS below.
struct SteppedFile {
    sqlite3_file base;
    char kind[4];  // "db", "wal"
};
constexpr int kBelowAt = (sizeof(SteppedFile) + 15) / 16 * 16;

sqlite3_file* below(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + kBelowAt);
}
const sqlite3_io_methods* methods(sqlite3_file* file) { return below(file)->pMethods; }

using StepFunction = void (*)(const char* what, const char* where);

void step(const char* what, sqlite3_file* file) {
    static const auto function =
        reinterpret_cast<StepFunction>(::dlsym(RTLD_DEFAULT, "tanist_crash_vfs_step"));
    if (function) function(what, reinterpret_cast<SteppedFile*>(file)->kind);
}

int close(sqlite3_file* file) {
    step("xClose", file);
    const int rc = methods(file)->xClose(below(file));
    file->pMethods = nullptr;
    return rc;
}
int read(sqlite3_file* file, void* out, int count, sqlite3_int64 offset) {
    step("xRead", file);
    return methods(file)->xRead(below(file), out, count, offset);
}
int write(sqlite3_file* file, const void* in, int count, sqlite3_int64 offset) {
    step("xWrite", file);
    return methods(file)->xWrite(below(file), in, count, offset);
}
int truncate(sqlite3_file* file, sqlite3_int64 bytes) {
    step("xTruncate", file);
    return methods(file)->xTruncate(below(file), bytes);
}
int sync(sqlite3_file* file, int flags) {
    step("xSync", file);
    return methods(file)->xSync(below(file), flags);
}
int size(sqlite3_file* file, sqlite3_int64* bytes) {
    return methods(file)->xFileSize(below(file), bytes);
}
int lock(sqlite3_file* file, int level) {
    step("xLock", file);
    return methods(file)->xLock(below(file), level);
}
int unlock(sqlite3_file* file, int level) {
    step("xUnlock", file);
    return methods(file)->xUnlock(below(file), level);
}
int check_reserved_lock(sqlite3_file* file, int* held) {
    return methods(file)->xCheckReservedLock(below(file), held);
}
int control(sqlite3_file* file, int op, void* argument) {
    step("xFileControl", file);
    return methods(file)->xFileControl(below(file), op, argument);
}
int sector_size(sqlite3_file* file) { return methods(file)->xSectorSize(below(file)); }
int device_characteristics(sqlite3_file* file) {
    return methods(file)->xDeviceCharacteristics(below(file));
}
int shm_map(sqlite3_file* file, int region, int bytes, int extend, void volatile** out) {
    step("xShmMap", file);
    return methods(file)->xShmMap(below(file), region, bytes, extend, out);
}
int shm_lock(sqlite3_file* file, int first, int count, int flags) {
    step("xShmLock", file);
    return methods(file)->xShmLock(below(file), first, count, flags);
}
void shm_barrier(sqlite3_file* file) {
    step("xShmBarrier", file);
    methods(file)->xShmBarrier(below(file));
}
int shm_unmap(sqlite3_file* file, int remove) {
    step("xShmUnmap", file);
    return methods(file)->xShmUnmap(below(file), remove);
}
int fetch(sqlite3_file* file, sqlite3_int64 offset, int count, void** out) {
    return methods(file)->xFetch(below(file), offset, count, out);
}
int unfetch(sqlite3_file* file, sqlite3_int64 offset, void* page) {
    return methods(file)->xUnfetch(below(file), offset, page);
}

constexpr sqlite3_io_methods kMethods = {
    3,
    close,
    read,
    write,
    truncate,
    sync,
    size,
    lock,
    unlock,
    check_reserved_lock,
    control,
    sector_size,
    device_characteristics,
    shm_map,
    shm_lock,
    shm_barrier,
    shm_unmap,
    fetch,
    unfetch,
};
// For files without shared memory, whose own methods may be of version 1.
constexpr sqlite3_io_methods kPlainMethods = {
    1,
    close,
    read,
    write,
    truncate,
    sync,
    size,
    lock,
    unlock,
    check_reserved_lock,
    control,
    sector_size,
    device_characteristics,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
};

sqlite3_vfs step_vfs;

int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    auto* unix_vfs = static_cast<sqlite3_vfs*>(step_vfs.pAppData);
    file->pMethods = nullptr;
    std::memset(below(file), 0, static_cast<size_t>(unix_vfs->szOsFile));
    const int rc = unix_vfs->xOpen(unix_vfs, name, below(file), flags, out_flags);
    if (!methods(file)) return rc;
    auto* stepped = reinterpret_cast<SteppedFile*>(file);
    std::strcpy(stepped->kind, (flags & SQLITE_OPEN_MAIN_DB) != 0 ? "db"
                               : (flags & SQLITE_OPEN_WAL) != 0   ? "wal"
                                                                  : "any");
    file->pMethods = methods(file)->iVersion >= 3 ? &kMethods : &kPlainMethods;
    return rc;
}

}  // namespace

int register_step_vfs() {
    sqlite3_vfs* unix_vfs = sqlite3_vfs_find("unix");
    if (!unix_vfs) return SQLITE_ERROR;
    // Everything but files goes straight to the real one, whose other methods do not look at the
    // pointer that they are called with.
    step_vfs = *unix_vfs;
    step_vfs.pAppData = unix_vfs;
    step_vfs.pNext = nullptr;
    step_vfs.szOsFile = kBelowAt + unix_vfs->szOsFile;
    step_vfs.xOpen = open;
    return sqlite3_vfs_register(&step_vfs, 1);
}

}  // namespace tanist::crash
