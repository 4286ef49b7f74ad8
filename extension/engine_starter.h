// Starts the engine of a database: the daemon, detached, or a thread of this process.
#pragma once

#include <cstdint>
#include <string>

#include "replicator/base/result.h"
#include "replicator/control/layout.h"
#include "replicator/control/settings.h"

namespace tanist {

class EngineStarter {
  public:
    // Starts one by the rule of `ship`. Returns within about a second. The caller has looked
    // whether one lives. unreachable: none could be started; the sentence says why.
    Status start(const Layout& layout, ShipHost ship);
    // Takes the exit state of a daemon that was slow to detach.
    void reap();

  private:
    Status start_daemon(const Layout& layout);
    Status start_thread(const Layout& layout);
    int child_ = 0;
};

// Milliseconds-coarse, a few nanoseconds to ask; counts from the boot, not during suspend.
int64_t coarse_now_ns();

}  // namespace tanist
