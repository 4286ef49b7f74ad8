// The gate in SQLite's WAL locks: who may write, when a commit has happened, and when the WAL may
// be restarted. It stands between SQLite and the unix VFS's xShmLock of one connection.
//
// Which locks SQLite holds at each call is said in sqlite-facts 1 and 2; in short:
//   a writer      takes WRITE while it holds a READ slot and not CHECKPOINT;
//   recovery      takes WRITE without READ, or CHECKPOINT..RECOVER, and must always pass;
//   a restart     asks for READ1..READ4 at once, holding WRITE (a writer, or a RESTART or TRUNCATE
//                 checkpoint, which holds CHECKPOINT as well).
#pragma once

#include <cstdint>

struct sqlite3_file;

namespace tanist {

struct DatabaseFile;

class WalGate {
  public:
    // In place of the real file's xShmLock.
    int lock(DatabaseFile& file, sqlite3_file* real, int first, int count, int flags);
    // Region 0 of the wal-index, or null when it is unmapped.
    void set_region(volatile void* region0) { region0_ = static_cast<volatile uint8_t*>(region0); }
    volatile void* region() const { return region0_; }

  private:
    int take_write(DatabaseFile& file, sqlite3_file* real);
    int wait_for_engine(DatabaseFile& file, sqlite3_file* real);
    int give_write(DatabaseFile& file, sqlite3_file* real);
    int take_restart(DatabaseFile& file, sqlite3_file* real);
    int give_restart(sqlite3_file* real);
    bool restart_granted(DatabaseFile& file, bool for_checkpoint);
    bool checkpoint_is_useless(DatabaseFile& file) const;
    bool refused_lately() const;
    uint32_t word(uint32_t offset) const;

    volatile uint8_t* region0_ = nullptr;
    uint32_t shared_ = 0;  // slots held, one bit each
    uint32_t exclusive_ = 0;
    uint32_t change_at_lock_ = 0;
    bool checkpoint_is_ours_ = false;  // taken with a restart, given back with it
    int64_t refused_ns_ = 0;           // coarse clock; the engine's last refusal of a restart...
    int64_t refusal_holds_ns_ = 0;     // ...and how long it is not asked again
    bool overrun_noted_ = false;
};

}  // namespace tanist
