// The gate in SQLite's WAL locks: who may write, when a commit has happened, and when the WAL may
// be restarted. It stands between SQLite and the unix VFS's xShmLock of one connection.
//
// Which locks SQLite holds at each call is said in sqlite-facts 1 and 2; in short:
//   a writer      takes WRITE while it holds a READ slot and not CHECKPOINT;
//   recovery      takes WRITE without READ, or CHECKPOINT..RECOVER, and must always pass;
//   a restart     asks for READ1..READ4 at once, holding WRITE (a writer, or a RESTART or TRUNCATE
//                 checkpoint, which holds CHECKPOINT as well).
//
// A restart beside the pin. The engine's pin is a SHARED lock on a slot whose mark is "not used"
// (capture/wal_pin.h). When the control block says that the log has every frame, the pin has
// nothing left to protect: the restart then takes the other three slots for itself and shares the
// pinned one, which keeps readers off it as well as owning it would, and which a restart leaves
// "not used" anyway. The pin is never let go, so nothing is uncovered at any moment, and nobody
// waits for the engine.
#pragma once

#include <cstdint>

#include "replicator/base/clock.h"
#include "replicator/control/control_block.h"
#include "replicator/control/writer_turn.h"

struct sqlite3_file;

namespace tanist {

struct DatabaseFile;

class WalGate {
  public:
    // In place of the real file's xShmLock.
    int lock(DatabaseFile& file, sqlite3_file* real, int first, int count, int flags);
    // The header of a new WAL is about to be written. Requires: WRITE.
    void wal_begins(const DatabaseFile& file, const void* header) const;
    // Region 0 of the wal-index, or null when it is unmapped.
    void set_region(volatile void* region0) { region0_ = static_cast<volatile uint8_t*>(region0); }
    volatile void* region() const { return region0_; }

  private:
    int take_write(DatabaseFile& file, sqlite3_file* real);
    int wait_for_engine(DatabaseFile& file, sqlite3_file* real);
    int ask_lease(DatabaseFile& file) const;
    int give_write(DatabaseFile& file, sqlite3_file* real);
    WalMoment moment() const;
    int take_checkpoint(DatabaseFile& file, sqlite3_file* real);
    int take_restart(DatabaseFile& file, sqlite3_file* real);
    int give_restart(const DatabaseFile& file, sqlite3_file* real);
    void note_begun(const DatabaseFile& file, uint32_t salt1, uint32_t salt2) const;
    int lock_for_restart(DatabaseFile& file, sqlite3_file* real);
    int lock_beside_pin(sqlite3_file* real);
    bool share_pin(sqlite3_file* real, int mark);
    bool wal_is_captured(const DatabaseFile& file) const;
    bool captured_before(const DatabaseFile& file, Instant deadline) const;
    bool log_is_durable(DatabaseFile& file);
    bool restart_granted(DatabaseFile& file, bool for_checkpoint);
    bool engine_must_mark(DatabaseFile& file);
    bool checkpoint_is_useless(DatabaseFile& file) const;
    bool refused_lately() const;
    void remember_refusal(bool engine_answers);
    uint64_t wal_bytes() const;
    void let_engine_catch_up(const DatabaseFile& file);
    int64_t writer_patience_ns(const DatabaseFile& file) const;
    uint32_t word(uint32_t offset) const;

    volatile uint8_t* region0_ = nullptr;
    uint32_t shared_ = 0;  // slots held, one bit each
    uint32_t exclusive_ = 0;
    WalMoment at_lock_;                 // where the WAL ended when WRITE was taken...
    bool at_lock_is_settled_ = false;   // ...which says nothing when it was taken to recover
    bool has_committed_ = false;        // its read lock is still held
    bool checkpoint_is_ours_ = false;   // taken with a restart, given back with it
    int pin_slot_ = 0;                  // READ slot that a restart left to the engine's pin, or 0
    int64_t refused_ns_ = 0;            // coarse clock; the engine's last refusal of a restart...
    int64_t refusal_holds_ns_ = 0;      // ...and how long it is not asked again
    int64_t waits_for_mark_ns_ = 0;     // coarse clock; this checkpoint does, since then
    int64_t wal_is_long_since_ns_ = 0;  // boot clock; beyond what a writer waits for, 0: it is not
    bool overrun_noted_ = false;
    WriterTurn turn_;
};

}  // namespace tanist
