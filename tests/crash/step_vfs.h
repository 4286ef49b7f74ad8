// A VFS "steps" above "tanist": each call that SQLite makes is a step at which the crash layer may
// end the process, before the extension sees the call. Without the layer it only passes on.
#pragma once

namespace tanist::crash {

// Requires: the extension is loaded. The SQLite result code.
int register_step_vfs();

}  // namespace tanist::crash
