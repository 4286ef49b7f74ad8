// Whether an endpoint is known to serve nobody: its machine answered that nothing listens there.
#pragma once

#include <string>

namespace tanist {

// False also when there is no answer within some milliseconds, or the host is given by name (names
// are not looked up here). A connection that is taken is closed at once.
bool refuses_connections(const std::string& endpoint);

}  // namespace tanist
