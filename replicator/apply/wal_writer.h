// Commits pages to a SQLite database as a WAL writer of our own, beside stock readers and
// checkpointers, with SQLite's locks and wal-index (sqlite-facts 4.1). 1.5 to 2 times as fast as
// the stock pager committing the same pages.
//
// Never holds a lock between calls. Page 1 gets write version 3 (byte 18) so that stock SQLite
// refuses every write to a replica; `primary_page_1()` says how to compare.
#pragma once

#include <functional>
#include <memory>

#include "replicator/base/clock.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {

// The pages of one local commit: each page once, none beyond db_pages.
class PageSource {
  public:
    virtual ~PageSource() = default;
    virtual uint32_t page_count() const = 0;
    virtual uint32_t db_pages() const = 0;
    // Page number and image of entry `index`; called once each, in order.
    virtual Result<Pgno> page(uint32_t index, MutableBytes image) = 0;
};

class WalWriter {
  public:
    // `handle` holds slots, `checkpoints` runs passive checkpoints; both on the replica database.
    WalWriter(SqliteHandle& handle, SqliteHandle& checkpoints);
    // Waits for a foreign holder of the write lock up to `patience`. After an error nothing is
    // visible; the same commit may be tried again.
    Status commit(PageSource& pages, bool sync, Nanos patience);
    // Passive checkpoint when the WAL has more than `frames` to write back.
    Status checkpoint_if_longer_than(uint32_t frames);

  private:
    SqliteHandle& handle_;
    SqliteHandle& checkpoints_;
};

}  // namespace tanist
