// The pin: a SHARED lock on a reader slot whose mark is "not used". Checkpoints look only at marks
// below their end, so they write back everything; a restart needs all reader slots for itself and
// waits. So nothing overwrites the WAL while it is held, and nothing else is held up
// (sqlite-facts section 3). Costs one of SQLite's four reader slots.
#pragma once

#include "replicator/wal/sqlite_handle.h"

namespace tanist {

class WalPin {
  public:
    // `handle` outlives the pin and runs no SQL while it is held.
    explicit WalPin(SqliteHandle& handle) : handle_(handle) {}
    ~WalPin() { let_go(); }
    WalPin(const WalPin&) = delete;
    WalPin& operator=(const WalPin&) = delete;

    bool held() const { return slot_ != 0; }
    int slot() const { return slot_; }  // 1..4, 0: not held
    // Never waits. busy: readers have all four slots at this moment.
    Status take();
    void let_go();
    // Off slot 1, whose mark a restart sets, without ever being away. busy: no other slot is free.
    Status leave_slot_1();

  private:
    Status take_slot(int mark);
    SqliteHandle& handle_;
    int slot_ = 0;
};

}  // namespace tanist
