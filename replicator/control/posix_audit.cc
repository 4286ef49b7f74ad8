#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "replicator/control/audit.h"

namespace tanist {

Status append_line(const std::string& path, const std::string& line);

Status append_line(const std::string& path, const std::string& line) {
    int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return Error{Errc::io, "cannot open " + path + ": " + std::strerror(errno)};
    const ssize_t written = ::write(fd, line.data(), line.size());
    const int reason = errno;
    // What an attacker did must not be lost with the machine's power.
    const bool synced = ::fdatasync(fd) == 0;
    ::close(fd);
    if (written == static_cast<ssize_t>(line.size()) && synced) return ok_status();
    return Error{Errc::io, "cannot append to " + path + ": " + std::strerror(reason)};
}

std::string local_user() {
    const uid_t uid = ::getuid();
    std::string who = "uid " + std::to_string(uid);
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> room;
    if (::getpwuid_r(uid, &entry, room.data(), room.size(), &found) == 0 && found != nullptr) {
        who += std::string(" (") + entry.pw_name + ")";
    }
    // Set by sudo, and by whoever likes: a hint, not a proof.
    if (const char* sudo = std::getenv("SUDO_USER"); uid == 0 && sudo != nullptr) {
        who += std::string(", sudo of ") + sudo;
    }
    return who;
}

}  // namespace tanist
