// The note that a cleanly stopped engine leaves: where the log ended, and by which marks the
// database file can be told to be untouched since. With it the next start goes on without a REBASE
// although SQLite deleted or recreated the WAL meanwhile. It binds to the end of the log, so that
// appending anything makes it void.
//
// File: magic, version, the fields below in order, hash64 over all of it; little-endian.
#pragma once

#include <optional>
#include <string>

#include "replicator/base/file.h"
#include "replicator/log/log.h"

namespace tanist {

struct CleanStop {
    LogPoint log_end;
    WalPoint wal;  // an empty WAL: everything was written back
    uint32_t page_bytes = 0;
    uint64_t db_bytes = 0;
    uint64_t db_inode = 0;
    int64_t db_modified_ns = 0;
    int64_t db_changed_ns = 0;
    uint64_t db_header_hash = 0;  // of the file's first 100 bytes, with SQLite's change counters
    bool operator==(const CleanStop&) const = default;
};

Bytes encode_clean_stop(const CleanStop& stop);
std::optional<CleanStop> decode_clean_stop(ByteView bytes);

}  // namespace tanist
