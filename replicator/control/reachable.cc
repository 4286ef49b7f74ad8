#include "replicator/control/reachable.h"

#include "replicator/control/host_name.h"

namespace tanist {

bool is_wildcard(const std::string& endpoint) {
    const std::string host = endpoint.substr(0, endpoint.rfind(':'));
    return host == "tcp://0.0.0.0" || host == "tcp://[::]" || host == "tcp://*";
}

std::string reachable(const std::string& endpoint) {
    if (!is_wildcard(endpoint)) return endpoint;
    return "tcp://" + host_name() + endpoint.substr(endpoint.rfind(':'));
}

}  // namespace tanist
