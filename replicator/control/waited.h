// `<db>-tanist/waited`: that it is there says that a commit of this database has waited for
// replicas, so that after a power cut the database must be found in its log (node/own_tail.h).
//
// What is in it: which WAL was begun last, and where the one before it ended. A connection that
// begins a WAL which another one restarted draws salts of chance for it (sqlite3WalFrames, where
// nCkpt is 0), so that nothing else tells a later WAL, before which everything is in the database
// file, from one that came with a restored backup.
//
// File: magic, version, the fields of WalBegun, hash64 over all of it; little-endian; written in
// place, within one sector. Empty, or damaged: not known.
#pragma once

#include <optional>

#include "replicator/base/bytes.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"

namespace tanist {

Bytes encode_wal_begun(const WalBegun& begun);
std::optional<WalBegun> decode_wal_begun(ByteView bytes);

// Durable when it returns, in whatever processes and threads at once.
Status make_waited(const Layout& layout, const Control& control);
// Durable when it returns. Requires: SQLite's WRITE lock; that the control block says the same.
// Does nothing where no commit has waited.
Status note_wal_begun(const Layout& layout, const WalBegun& begun);
std::optional<WalBegun> read_wal_begun(const Layout& layout);

}  // namespace tanist
