#include <unistd.h>

#include <array>

#include "replicator/control/host_name.h"

namespace tanist {

std::string host_name() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == 0) return "HOST";
    return name.data();
}

}  // namespace tanist
