// Committed pages of a live WAL-mode database, read in large pieces beside writers and
// checkpointers without any lock: what both sides of a delta sync look at.
//
// A page comes from its newest frame that was visible at refresh(), or else from the database file.
// - A frame is final, and stays where it is until the WAL restarts or is recovered. Both change the
//   wal-index header before any frame is overwritten, so a header that did not move backwards,
//   looked at after the frames were read, proves them.
// - A page without such a frame is complete in the file, unless a commit after refresh() is being
//   written back to it just now: then it may be torn. For a sync that is harmless, because such a
//   commit is in the log after the sync's base.
// Page 1 is given as the primary has it (write version 2), so that both sides compare equal.
//
// Memory: 8 bytes per page that has a frame in the WAL, and the caller's buffer.
#pragma once

#include <unordered_map>

#include "replicator/wal/sqlite_handle.h"

namespace tanist {

class PageReader {
  public:
    // `handle` must outlive this.
    static Result<PageReader> open(SqliteHandle& handle);
    uint32_t page_bytes() const { return page_bytes_; }
    // Of the last refresh() or read().
    uint32_t db_pages() const { return db_pages_; }
    // Learns of the frames that became visible.
    Status refresh();
    // Pages first, first + 1, ... into `images` (whole pages). Pages beyond the database's end are
    // zeros. Refreshes first.
    Status read(uint32_t first, MutableBytes images);
    // SQLite's locking page, which is never in use.
    uint32_t lock_page() const { return 0x40000000u / page_bytes_ + 1; }

  private:
    explicit PageReader(SqliteHandle& handle) : handle_(&handle) {}
    Result<WalIndexHeader> stable_header();
    Result<bool> read_frames(uint32_t first, MutableBytes images);

    SqliteHandle* handle_;
    uint32_t page_bytes_ = 0;
    uint32_t db_pages_ = 0;
    WalIndexHeader seen_;
    std::unordered_map<uint32_t, uint32_t> newest_frame_;
};

}  // namespace tanist
