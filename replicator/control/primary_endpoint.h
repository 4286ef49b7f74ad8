// <db>-tanist/primary: where this node last knew the primary to listen. One line, written by the
// daemon, for `PRAGMA tanist_primary`: an application learns from any node of its cluster where to
// write. It is news, not a promise: the primary may have changed since.
#pragma once

#include <string>

#include "replicator/control/layout.h"

namespace tanist {

// "" when nobody has told yet, or the primary listens nowhere.
std::string read_primary_endpoint(const Layout& layout);
// Does nothing when that stands there already. A failure is a note: nothing depends on it.
void keep_primary_endpoint(const Layout& layout, const std::string& endpoint);

}  // namespace tanist
