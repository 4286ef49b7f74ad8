// What a process does before its first thread to become a daemon. posix_daemonize.cc is the
// implementation.
#pragma once

#include <string>

#include "replicator/base/result.h"

namespace tanist {

// Leaves the caller's session, working directory and standard streams: messages go to `log_path`
// (appended; begun anew when it has grown large). Descriptors above 2 are closed, because an
// application that starts its engine may pass on descriptors of the very database, and one that
// stays open keeps its files and locks alive; all but `kept`, that is. True in the detached
// process; false in the caller's, which exits now.
Result<bool> detach(const std::string& log_path, int kept);

// Gives SIGTERM and SIGINT to the returned descriptor, which becomes readable when one arrives,
// and ignores SIGPIPE. Undoes what the caller of exec blocked or ignored.
Result<int> open_stop_signals();

int process_id();

}  // namespace tanist
