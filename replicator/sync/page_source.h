// Delta sync, the primary's side: pages of the live database, read beside writers and checkpointers
// without ever blocking them.
//
// The copy is fuzzy: each page is some committed state between the sync's base LSN and its end, or
// even torn when it is being written back just now. That is enough, because every page that changed
// after the base is in the log as a whole image, and the replica replays the log from the base over
// the pages it got. So no read transaction is held, whatever the size of the database.
// The engine keeps the log from the base on while a sync runs.
//
// One thread. Memory: one ask's pages.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "replicator/wal/sqlite_handle.h"
#include "replicator/wire/message.h"

namespace tanist {

class SyncPageSource {
  public:
    // `handle` is the source's own.
    static Result<std::unique_ptr<SyncPageSource>> open(std::unique_ptr<SqliteHandle> handle);
    ~SyncPageSource();
    uint32_t page_bytes() const;
    Result<uint32_t> db_pages();
    // Calls `send` with chunks of at most limits::kBodyBytesMax of pages that differ from the
    // ask's hashes, the last one marked. Pages beyond the database's end are skipped. `send`
    // returning false stops it (the link is full or gone).
    Status answer(const SyncAsk& ask,
                  const std::function<bool(uint32_t ask, bool last, std::span<const uint32_t> pages,
                                           ByteView images)>& send);

  private:
    struct State;
    explicit SyncPageSource(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
