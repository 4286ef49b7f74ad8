// SQLite's WRITE lock on a database, held against every process, stock ones included; and the
// change of the write version (byte 18 of page 1) under it, by which stock SQLite takes a database
// for read-only (3) or not (2). The change is one WAL commit: connections that are open see it with
// their next transaction, and it outlives this process and the machine's boot (sqlite-facts 2).
//
// An encrypted first page cannot be changed; then only the lock keeps stock processes out.
#pragma once

#include <memory>
#include <string>

#include "replicator/base/clock.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {

class WriteHold {
  public:
    // busy: a writer did not come to its end within `patience`.
    static Result<WriteHold> take(const SqliteApi& api, const std::string& db, Nanos patience);
    WriteHold(WriteHold&&) noexcept = default;
    WriteHold& operator=(WriteHold&&) noexcept = default;
    ~WriteHold();
    // Durable when it returns. False: the first page is encrypted, nothing was changed.
    Result<bool> set_writable(bool writable);
    // False: the file is marked as a replica's, so stock processes cannot have written it.
    Result<bool> is_writable();
    // SQLite's commit counter, which stands still while the lock is held.
    Result<uint32_t> visible_change();
    // The database file and its WAL are on the disk as they stand.
    Status sync();

  private:
    WriteHold() = default;
    std::unique_ptr<SqliteHandle> slots_;
    std::unique_ptr<SqliteHandle> sql_;
};

// Stock processes take `db` for read-only from here on; noted when the first page is encrypted, and
// they cannot. Errors: of WriteHold::take, and of the disk.
Status mark_read_only(const SqliteApi& api, const std::string& db, Nanos patience);

}  // namespace tanist
