// What an endpoint of the settings or the members may look like.
#include <charconv>

#include "replicator/control/settings.h"

namespace tanist {
namespace {

// sun_path has 108 bytes with its zero.
constexpr size_t kIpcPathBytesMax = 107;

Error wrong(const std::string& sentence) { return {Errc::invalid, sentence}; }

bool is_port(std::string_view text) {
    if (text == "*") return true;
    unsigned port = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

// Four numbers from 0 to 255.
bool is_ipv4(std::string_view host) {
    for (int part = 0; part < 4; ++part) {
        unsigned number = 0;
        auto [end, error] = std::from_chars(host.data(), host.data() + host.size(), number);
        if (error != std::errc{} || number > 255) return false;
        host.remove_prefix(static_cast<size_t>(end - host.data()));
        if (part == 3) return host.empty();
        if (!host.starts_with('.')) return false;
        host.remove_prefix(1);
    }
    return false;
}

Status check_tcp(const std::string& endpoint, std::string_view address) {
    size_t colon = address.rfind(':');
    if (colon == std::string_view::npos || colon == 0 || !is_port(address.substr(colon + 1))) {
        return wrong(endpoint + " has no port: write tcp://HOST:PORT");
    }
    if (address.substr(0, colon) == "localhost") {
        return wrong(endpoint + ": write 127.0.0.1 or [::1], localhost can mean either");
    }
    return ok_status();
}

}  // namespace

Status check_endpoint(const std::string& endpoint) {
    TANIST_TRY(check_any_endpoint(endpoint));
    if (is_local_endpoint(endpoint)) return ok_status();
    return Error{Errc::refused,
                 endpoint +
                     " is on another machine, which needs keys: run `tanist members add DATABASE` "
                     "with the tanist:// address that the tanistd there prints (`tanist keys "
                     "show` prints it again)"};
}

bool is_local_endpoint(const std::string& endpoint) {
    if (!endpoint.starts_with("tcp://")) return true;
    std::string_view host = std::string_view(endpoint).substr(6);
    host = host.substr(0, host.rfind(':'));
    return host == "[::1]" || (is_ipv4(host) && host.starts_with("127."));
}

Status check_any_endpoint(const std::string& endpoint) {
    std::string_view text = endpoint;
    if (text.starts_with("tcp://")) return check_tcp(endpoint, text.substr(6));
    if (!text.starts_with("ipc://")) {
        return wrong("\"" + endpoint +
                     "\" is not an endpoint: write tcp://127.0.0.1:PORT or ipc:///PATH");
    }
    std::string_view path = text.substr(6);
    if (!path.starts_with('/') || path.size() < 2) {
        return wrong(endpoint + ": the path of an ipc endpoint is absolute: ipc:///run/x.sock");
    }
    if (path.size() > kIpcPathBytesMax) {
        return wrong(endpoint + ": the path of a socket has at most " +
                     std::to_string(kIpcPathBytesMax) + " bytes");
    }
    return ok_status();
}

}  // namespace tanist
