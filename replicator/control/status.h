// What is known about a database on this machine, as one JSON text: from the node file, the control
// block and the engine's lock. The PRAGMA, the daemon and `tanist status` all say this.
#pragma once

#include <string>

#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"

namespace tanist {

// Never fails: what cannot be read is null or zero, with the reason in "problem".
std::string status_json(const Layout& layout);
// "", or what it means that the engine, or a replica's daemon, has its lock and yet does nothing
// (stopped by a signal or a debugger, or it hangs).
std::string why_silent(const Control& control, Role role);

}  // namespace tanist
