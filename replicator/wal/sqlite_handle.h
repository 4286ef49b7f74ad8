// An idle SQLite connection and, through its file pointers, the unix VFS's own methods for shared
// memory, locks and files. This is how the engine and the applier stand beside SQLite's readers,
// writers and checkpointers as one of them.
//
// Rules that keep POSIX locks alive (sqlite-facts 4.2): the database and the -shm file are never
// opened or closed except by SQLite; one SQLite per process; no SQL runs on this connection while
// a lock slot is held (its Wal object shares the lock masks) - use a second handle for SQL.
//
// One thread at a time. Locks not released by unlock() are released by the destructor.
#pragma once

#include <memory>
#include <string>

#include "replicator/base/bytes.h"
#include "replicator/base/result.h"
#include "replicator/wal/sqlite_api.h"
#include "replicator/wal/wal_index.h"

namespace tanist {

class SqliteHandle {
  public:
    struct Options {
        bool create = false;         // make the database when it does not exist
        bool switch_to_wal = false;  // leave rollback-journal mode
        int busy_timeout_ms = 2000;
    };
    // Opens `path` with the "unix" VFS, reads once (which recovers the WAL when that is due) and
    // maps region 0. The connection keeps the -wal file in being: it answers 1 to PERSIST_WAL.
    // Errors: invalid (not a database; not WAL; EXCLUSIVE mode; a wal-index version we do not know;
    // encrypted), busy, io, not_found - each with the remedy.
    static Result<std::unique_ptr<SqliteHandle>> open(const SqliteApi& api, const std::string& path,
                                                      const Options& options);
    ~SqliteHandle();

    const std::string& path() const { return path_; }
    // The journal mode that was left for WAL in open(); "" when it was in WAL mode, or empty, so
    // that nobody had chosen a mode for it.
    const std::string& switched_from() const { return switched_from_; }
    sqlite3* connection() const { return db_; }

    // Runs one statement; for handles that hold no slot.
    Status run(const std::string& sql);
    // A read transaction opened and closed: recovers a WAL that needs it.
    Status touch();
    // Passive checkpoint: frames in the WAL and frames written back. busy when another runs.
    struct Checkpointed {
        int wal_frames = 0;
        int backfilled = 0;
    };
    Result<Checkpointed> checkpoint_passive();

    // From now on slots that `owner`, a handle of the same thread on the same database, holds
    // exclusively count as free here: a checkpoint on this handle works under them. `owner`
    // outlives this handle.
    void share_exclusive_locks_of(const SqliteHandle& owner);

    // busy: somebody holds it. Slots first..first+count-1.
    Status lock(int first, int count, bool exclusive);
    void unlock(int first, int count, bool exclusive);
    void barrier();
    // The mapping of region `index`; null when it does not exist and !extend.
    Result<volatile void*> region(uint32_t index, bool extend);

    Result<std::optional<WalIndexHeader>> header();  // see read_wal_index_header
    Result<WalCheckpointInfo> checkpoint_info();

    // Database file. Short reads are filled with zeros, as SQLite sees them; returns bytes found.
    Result<size_t> read_db(uint64_t offset, MutableBytes out);
    Result<uint64_t> db_bytes();
    // WAL file.
    Result<size_t> read_wal(uint64_t offset, MutableBytes out);
    Status write_wal(uint64_t offset, ByteView bytes);  // any length; split below 128 KiB inside
    // To 0 bytes. Requires: WRITE, CHECKPOINT, READ1..4, and a wal-index that has been restarted.
    Status truncate_wal();
    Status sync_wal();
    Status sync_db();

  private:
    struct SharedLocks;
    SqliteHandle();
    Status enter_wal_mode(const Options& options);
    Status find_files();
    Result<size_t> read(sqlite3_file* file, uint64_t offset, MutableBytes out);
    Result<uint64_t> file_bytes(sqlite3_file* file);
    const SqliteApi* api_ = nullptr;
    sqlite3* db_ = nullptr;
    // SQLite's own; they live as long as the connection stays in WAL mode, which nobody can end
    // while it is open.
    sqlite3_file* db_file_ = nullptr;
    sqlite3_file* wal_file_ = nullptr;
    std::string path_;
    std::string switched_from_;
    uint32_t held_shared_ = 0;
    uint32_t held_exclusive_ = 0;
    std::unique_ptr<SharedLocks> shared_locks_;
};

}  // namespace tanist
