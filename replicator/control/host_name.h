// The name of this machine, for addresses that people copy.
#pragma once

#include <string>

namespace tanist {

// What this machine calls itself; "HOST" when it does not know.
std::string host_name();

}  // namespace tanist
