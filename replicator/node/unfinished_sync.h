// What a crash left of a delta sync, before a replica opens its log. Without an install plan the
// sync's log is dropped: database and log are what they were before the sync. With one, and unless
// nothing of it was done, the install is finished: database and log are the sync's.
#pragma once

#include "replicator/control/layout.h"
#include "replicator/control/settings.h"
#include "replicator/log/log.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {

// True: an install was finished. An error leaves everything for the next start. What can never be
// finished is dropped, with a note; the intent then says syncing, and only another sync leads on.
Result<bool> settle_unfinished_sync(const SqliteApi& api, const Layout& layout,
                                    const Settings& settings, GroupId group);

}  // namespace tanist
