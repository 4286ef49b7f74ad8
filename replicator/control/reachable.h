// What other machines can be told of an endpoint that is bound here.
#pragma once

#include <string>

namespace tanist {

// "Every address of this machine": bound like that, but nothing to connect to from elsewhere.
bool is_wildcard(const std::string& endpoint);
// With this machine's name in a wildcard's place.
std::string reachable(const std::string& endpoint);

}  // namespace tanist
