// A VFS in the place of "unix", below the extension's: each call that reaches it, whether SQLite or
// the extension made it, is a step at which the crash layer may end the process. Without the layer
// it only passes on.
#pragma once

namespace tanist::crash {

// Requires: the extension is not loaded yet. The SQLite result code.
int register_step_vfs();

}  // namespace tanist::crash
