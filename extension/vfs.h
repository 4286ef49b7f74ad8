// The VFS `tanist`: wraps the VFS that was the default when it was registered. Files of databases
// that are not set up for replication are opened by that VFS on the same memory, so they cost
// nothing; of the others, the main database and its -wal are wrapped.
#pragma once

namespace tanist {

// Idempotent; once registered it stays for the life of the process. An SQLite result code.
int register_vfs(bool make_default);

}  // namespace tanist
