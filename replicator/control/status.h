// What is known about a database on this machine, as one JSON text: from the node file, the control
// block and the engine's lock. The PRAGMA, the daemon and `tanist status` all say this.
#pragma once

#include <string>

#include "replicator/control/layout.h"

namespace tanist {

// Never fails: what cannot be read is null or zero, with the reason in "problem".
std::string status_json(const Layout& layout);

}  // namespace tanist
