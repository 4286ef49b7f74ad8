// How this node's settings want its log: sizes, and encryption at rest.
#pragma once

#include "replicator/control/layout.h"
#include "replicator/control/settings.h"
#include "replicator/log/log.h"

namespace tanist {

// Makes the key when it is asked for and absent. Errors as load_log_key().
Result<LogOptions> log_options(const Layout& layout, const Settings& settings);

}  // namespace tanist
