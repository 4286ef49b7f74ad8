#include <unistd.h>

#include "failover/output.h"

namespace tanist {

bool terminal() { return ::isatty(STDOUT_FILENO) == 1; }

}  // namespace tanist
