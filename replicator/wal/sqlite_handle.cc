#include "replicator/wal/sqlite_handle.h"

#include <algorithm>
#include <utility>

#include "replicator/base/file.h"

namespace tanist {

namespace {

// unixWrite and unixRead take lengths below 128 KiB only (os_unix.c masks with 0x1ffff).
constexpr size_t kTransferBytesMax = 126976;

Errc code_of(int rc) {
    switch (rc & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return Errc::busy;
        case SQLITE_FULL:
            return Errc::no_space;
        case SQLITE_CORRUPT:
            return Errc::corrupt;
        case SQLITE_NOTADB:
        case SQLITE_READONLY:
        case SQLITE_ERROR:
        case SQLITE_PERM:
            return Errc::invalid;
        default:
            return Errc::io;
    }
}

Error error_of(int rc, const std::string& what) {
    return Error{code_of(rc), what + " (SQLite code " + std::to_string(rc) + ")"};
}

struct Row {
    bool found = false;
    std::string text;
    int rc = SQLITE_OK;
};

// The first column of the first row.
Row first_row(const SqliteApi& api, sqlite3* db, const char* sql) {
    Row row;
    sqlite3_stmt* statement = nullptr;
    row.rc = api.prepare_v2(db, sql, -1, &statement, nullptr);
    if (row.rc == SQLITE_OK) {
        const int step = api.step(statement);
        if (step == SQLITE_ROW) {
            row.found = true;
            const unsigned char* text = api.column_text(statement, 0);
            if (text != nullptr) row.text = reinterpret_cast<const char*>(text);
        }
        const int end = api.finalize(statement);
        row.rc = step == SQLITE_ROW || step == SQLITE_DONE ? SQLITE_OK : end;
    }
    return row;
}

Error refusal(int rc, const std::string& path, const std::string& sqlite_says) {
    switch (rc & 0xff) {
        case SQLITE_NOTADB:
            return {Errc::invalid, path + " is not a SQLite database, or it is encrypted"};
        case SQLITE_BUSY:
        case SQLITE_PROTOCOL:
            return {Errc::busy, path +
                                    " is locked by another process; if that process uses PRAGMA "
                                    "locking_mode=EXCLUSIVE, end it or set it to NORMAL"};
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
            return {Errc::invalid,
                    "this user has no permission to write " + path +
                        " or its directory, which WAL mode needs; run this as their owner"};
        default:
            return error_of(rc, "cannot read " + path + ": " + sqlite_says);
    }
}

}  // namespace

// The methods of one file, with another xShmLock. SQLite hands every method its file, and through
// the file's pMethods this finds its way back.
struct SqliteHandle::SharedLocks : sqlite3_io_methods {
    const sqlite3_io_methods* real = nullptr;
    const SqliteHandle* owner = nullptr;

    static int lock(sqlite3_file* file, int first, int count, int flags) {
        const auto& self = *static_cast<const SharedLocks*>(file->pMethods);
        const uint32_t slots = ((1u << count) - 1) << first;
        const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
        if (exclusive && (self.owner->held_exclusive_ & slots) == slots) return SQLITE_OK;
        return self.real->xShmLock(file, first, count, flags);
    }
};

SqliteHandle::SqliteHandle() = default;

void SqliteHandle::share_exclusive_locks_of(const SqliteHandle& owner) {
    if (shared_locks_ == nullptr) {
        shared_locks_ = std::make_unique<SharedLocks>();
        shared_locks_->real = db_file_->pMethods;
        static_cast<sqlite3_io_methods&>(*shared_locks_) = *db_file_->pMethods;
        shared_locks_->xShmLock = SharedLocks::lock;
        db_file_->pMethods = shared_locks_.get();
    }
    shared_locks_->owner = &owner;
}

Result<std::unique_ptr<SqliteHandle>> SqliteHandle::open(const SqliteApi& api,
                                                         const std::string& path,
                                                         const Options& options) {
    if (!options.create && !path_exists(path)) {
        return Error{Errc::not_found, "there is no database at " + path};
    }
    std::unique_ptr<SqliteHandle> handle(new SqliteHandle);
    handle->api_ = &api;
    handle->path_ = path;
    const int flags = SQLITE_OPEN_READWRITE | (options.create ? SQLITE_OPEN_CREATE : 0);
    const int rc = api.open_v2(path.c_str(), &handle->db_, flags, "unix");
    if (rc != SQLITE_OK) return refusal(rc, path, "it cannot be opened");
    api.busy_timeout(handle->db_, options.busy_timeout_ms);
    TANIST_TRY(handle->enter_wal_mode(options));
    TANIST_TRY(handle->find_files());
    return handle;
}

// Reads once, so that SQLite opens the WAL, recovers it when that is due and maps the wal-index.
Status SqliteHandle::enter_wal_mode(const Options& options) {
    const Row read = first_row(*api_, db_, "SELECT count(*) FROM sqlite_schema");
    if (read.rc != SQLITE_OK) return refusal(read.rc, path_, api_->errmsg(db_));
    Row mode = first_row(*api_, db_, "PRAGMA journal_mode");
    if (mode.rc != SQLITE_OK) return refusal(mode.rc, path_, api_->errmsg(db_));
    if (mode.text != "wal" && options.switch_to_wal) {
        if (read.text != "0") switched_from_ = mode.text;
        mode = first_row(*api_, db_, "PRAGMA journal_mode=WAL");
        if (mode.rc != SQLITE_OK) return refusal(mode.rc, path_, api_->errmsg(db_));
    }
    if (mode.text != "wal") {
        return Error{Errc::invalid, path_ + " is in journal mode '" + mode.text +
                                        "', not WAL; run: tanist init " + path_};
    }
    // Our connections checkpoint only when told to, and read through the same calls as SQLite.
    TANIST_TRY(run("PRAGMA wal_autocheckpoint=0"));
    TANIST_TRY(run("PRAGMA mmap_size=0"));
    // In the case of a switch just made, the WAL is opened by this read.
    const Row again = first_row(*api_, db_, "SELECT count(*) FROM sqlite_schema");
    if (again.rc != SQLITE_OK) return refusal(again.rc, path_, api_->errmsg(db_));
    int persist = 1;
    api_->file_control(db_, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
    return ok_status();
}

Status SqliteHandle::find_files() {
    char* name = nullptr;
    api_->file_control(db_, "main", SQLITE_FCNTL_VFSNAME, &name);
    const std::string vfs = name == nullptr ? "" : name;
    api_->free(name);
    if (vfs != "unix") {
        return Error{Errc::invalid, "the VFS of " + path_ + " is '" + vfs +
                                        "'; only SQLite's own 'unix' VFS can be replicated"};
    }
    api_->file_control(db_, "main", SQLITE_FCNTL_FILE_POINTER, &db_file_);
    api_->file_control(db_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal_file_);
    if (db_file_ == nullptr || db_file_->pMethods == nullptr || db_file_->pMethods->iVersion < 2 ||
        wal_file_ == nullptr || wal_file_->pMethods == nullptr) {
        return Error{Errc::invalid, path_ +
                                        " has no shared-memory WAL; it may lie on a file system"
                                        " that cannot share memory"};
    }
    Result<volatile void*> memory = region(0, false);
    if (!memory) return std::move(memory).error();
    if (*memory == nullptr) {
        return Error{Errc::invalid, path_ +
                                        " has no wal-index in shared memory; a connection in "
                                        "locking_mode=EXCLUSIVE keeps it to itself"};
    }
    // A writer may be between the two header copies at this moment; the version is then checked by
    // whoever reads the header next, because a header of another version never agrees with ours.
    const std::optional<WalIndexHeader> now = read_wal_index_header(*memory);
    if (now && now->version != kWalIndexVersion) {
        return Error{Errc::invalid, "the wal-index of " + path_ + " has version " +
                                        std::to_string(now->version) + ", this program knows " +
                                        std::to_string(kWalIndexVersion)};
    }
    return ok_status();
}

SqliteHandle::~SqliteHandle() {
    for (int slot = 0; slot < 8; ++slot) {
        if ((held_shared_ & (1u << slot)) != 0) unlock(slot, 1, false);
        if ((held_exclusive_ & (1u << slot)) != 0) unlock(slot, 1, true);
    }
    // Every statement was finalised, so this cannot be refused.
    if (db_ != nullptr) api_->close(db_);
}

Status SqliteHandle::run(const std::string& sql) {
    const int rc = api_->exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
    if (rc != SQLITE_OK) return error_of(rc, path_ + ": " + sql + ": " + api_->errmsg(db_));
    return ok_status();
}

Status SqliteHandle::touch() { return run("SELECT count(*) FROM sqlite_schema"); }

Result<SqliteHandle::Checkpointed> SqliteHandle::checkpoint_passive() {
    Checkpointed done;
    const int rc = api_->wal_checkpoint_v2(db_, "main", SQLITE_CHECKPOINT_PASSIVE, &done.wal_frames,
                                           &done.backfilled);
    if (rc != SQLITE_OK) return error_of(rc, path_ + ": checkpoint: " + api_->errmsg(db_));
    return done;
}

Status SqliteHandle::lock(int first, int count, bool exclusive) {
    const int flags = SQLITE_SHM_LOCK | (exclusive ? SQLITE_SHM_EXCLUSIVE : SQLITE_SHM_SHARED);
    const int rc = db_file_->pMethods->xShmLock(db_file_, first, count, flags);
    if (rc != SQLITE_OK) return error_of(rc, path_ + ": lock slot " + std::to_string(first));
    const uint32_t mask = ((1u << count) - 1) << first;
    (exclusive ? held_exclusive_ : held_shared_) |= mask;
    return ok_status();
}

void SqliteHandle::unlock(int first, int count, bool exclusive) {
    const int flags = SQLITE_SHM_UNLOCK | (exclusive ? SQLITE_SHM_EXCLUSIVE : SQLITE_SHM_SHARED);
    db_file_->pMethods->xShmLock(db_file_, first, count, flags);
    const uint32_t mask = ((1u << count) - 1) << first;
    (exclusive ? held_exclusive_ : held_shared_) &= ~mask;
}

void SqliteHandle::barrier() { db_file_->pMethods->xShmBarrier(db_file_); }

Result<volatile void*> SqliteHandle::region(uint32_t index, bool extend) {
    void volatile* memory = nullptr;
    const int rc = db_file_->pMethods->xShmMap(
        db_file_, static_cast<int>(index), static_cast<int>(kWalIndexRegionBytes), extend, &memory);
    if (rc != SQLITE_OK) return error_of(rc, path_ + ": map region " + std::to_string(index));
    return memory;
}

Result<std::optional<WalIndexHeader>> SqliteHandle::header() {
    Result<volatile void*> memory = region(0, false);
    if (!memory) return std::move(memory).error();
    if (*memory == nullptr) return std::optional<WalIndexHeader>{};
    return read_wal_index_header(*memory);
}

Result<WalCheckpointInfo> SqliteHandle::checkpoint_info() {
    Result<volatile void*> memory = region(0, false);
    if (!memory) return std::move(memory).error();
    if (*memory == nullptr) return Error{Errc::io, path_ + ": the wal-index is gone"};
    return read_checkpoint_info(*memory);
}

Result<size_t> SqliteHandle::read(sqlite3_file* file, uint64_t offset, MutableBytes out) {
    size_t done = 0;
    while (done < out.size()) {
        const size_t part = std::min(out.size() - done, kTransferBytesMax);
        const int rc = file->pMethods->xRead(file, out.data() + done, static_cast<int>(part),
                                             static_cast<sqlite3_int64>(offset + done));
        if (rc == SQLITE_IOERR_SHORT_READ) {
            std::fill(out.begin() + static_cast<std::ptrdiff_t>(done + part), out.end(), uint8_t{});
            Result<uint64_t> bytes = file_bytes(file);
            if (!bytes) return std::move(bytes).error();
            const uint64_t found = *bytes > offset ? *bytes - offset : 0;
            return static_cast<size_t>(std::min<uint64_t>(found, out.size()));
        }
        if (rc != SQLITE_OK) return error_of(rc, path_ + ": read");
        done += part;
    }
    return done;
}

Result<uint64_t> SqliteHandle::file_bytes(sqlite3_file* file) {
    sqlite3_int64 bytes = 0;
    const int rc = file->pMethods->xFileSize(file, &bytes);
    if (rc != SQLITE_OK) return error_of(rc, path_ + ": size");
    return static_cast<uint64_t>(bytes);
}

Result<size_t> SqliteHandle::read_db(uint64_t offset, MutableBytes out) {
    return read(db_file_, offset, out);
}

Result<uint64_t> SqliteHandle::db_bytes() { return file_bytes(db_file_); }

Result<size_t> SqliteHandle::read_wal(uint64_t offset, MutableBytes out) {
    return read(wal_file_, offset, out);
}

Status SqliteHandle::write_wal(uint64_t offset, ByteView bytes) {
    for (size_t done = 0; done < bytes.size();) {
        const size_t part = std::min(bytes.size() - done, kTransferBytesMax);
        const int rc =
            wal_file_->pMethods->xWrite(wal_file_, bytes.data() + done, static_cast<int>(part),
                                        static_cast<sqlite3_int64>(offset + done));
        if (rc != SQLITE_OK) return error_of(rc, path_ + "-wal: write");
        done += part;
    }
    return ok_status();
}

Status SqliteHandle::truncate_wal() {
    const int rc = wal_file_->pMethods->xTruncate(wal_file_, 0);
    if (rc != SQLITE_OK) return error_of(rc, path_ + "-wal: truncate");
    return ok_status();
}

Status SqliteHandle::sync_wal() {
    const int rc = wal_file_->pMethods->xSync(wal_file_, SQLITE_SYNC_NORMAL);
    if (rc != SQLITE_OK) return error_of(rc, path_ + "-wal: sync");
    return ok_status();
}

Status SqliteHandle::sync_db() {
    const int rc = db_file_->pMethods->xSync(db_file_, SQLITE_SYNC_NORMAL);
    if (rc != SQLITE_OK) return error_of(rc, path_ + ": sync");
    return ok_status();
}

}  // namespace tanist
