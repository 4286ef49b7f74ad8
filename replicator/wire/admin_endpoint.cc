#include "replicator/wire/admin_endpoint.h"

namespace tanist {
namespace {

constexpr size_t kSocketPathBytesMax = 107;  // sun_path, without its end

}  // namespace

Result<AdminEndpoint> AdminEndpoint::in(const std::string& directory) {
    AdminEndpoint endpoint;
    std::string path = path_in(directory);
    if (path.size() > kSocketPathBytesMax) {
        auto opened = File::open(directory, File::Mode::read);
        if (!opened) return std::move(opened).error();
        endpoint.directory_ = std::move(opened).value();
        path = path_in("/proc/self/fd/" + std::to_string(endpoint.directory_.fd()));
    }
    endpoint.text_ = "ipc://" + path;
    return endpoint;
}

}  // namespace tanist
