#include <sys/inotify.h>
#include <unistd.h>

#include <array>

#include "replicator/node/file_watch.h"

namespace tanist {

FileWatch::FileWatch() : fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

FileWatch::~FileWatch() {
    if (fd_ >= 0) ::close(fd_);
}

bool FileWatch::arm(const std::string& path) {
    if (fd_ < 0) return false;
    if (inotify_add_watch(fd_, path.c_str(), IN_MODIFY | IN_ONESHOT) >= 0) return true;
    std::string directory = path.substr(0, path.rfind('/') + 1);
    inotify_add_watch(fd_, directory.c_str(), IN_CREATE | IN_MOVED_TO | IN_ONESHOT);
    return false;
}

bool FileWatch::drain() {
    std::array<char, 4096> buffer;
    bool something = false;
    while (fd_ >= 0 && ::read(fd_, buffer.data(), buffer.size()) > 0) something = true;
    return something;
}

}  // namespace tanist
