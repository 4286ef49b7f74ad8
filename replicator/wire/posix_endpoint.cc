// Whether a unix-domain socket has a listener, or a file; see zmq_link.cc.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace tanist {

bool unix_socket_answers(const std::string& path);
bool unix_socket_exists(const std::string& path);

bool unix_socket_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool unix_socket_answers(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path == "*" || path.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path.data(), path.size());
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    bool answers = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return answers;
}

}  // namespace tanist
