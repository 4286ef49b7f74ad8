#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "replicator/node/ship_lock.h"
#include "replicator/node/signals.h"

namespace tanist {

Result<ShipLock> ShipLock::take(const std::string& path) {
    ShipLock lock;
    auto file = File::open(path, File::Mode::create);
    if (!file) return std::move(file).error();
    lock.file_ = std::move(file).value();
    // A probe (engine_lives) holds a shared lock for an instant: try again for a moment.
    auto got = lock.file_.try_lock(true);
    for (int i = 0; i < 40 && got && !*got; ++i) {
        ::poll(nullptr, 0, 5);
        got = lock.file_.try_lock(true);
    }
    if (!got) return std::move(got).error();
    if (!*got) {
        std::string holder = "unknown";
        if (auto text = read_file(path, 32)) holder.assign(text->begin(), text->end());
        while (!holder.empty() && holder.back() == '\n') holder.pop_back();
        return Error{Errc::refused,
                     "another process (pid " + holder +
                         ") serves this database already; stop it first, or let it work"};
    }
    close_in_forked_child(lock.file_.fd());
    lock.pid_ = static_cast<uint32_t>(::getpid());
    TANIST_TRY(lock.file_.truncate(0));
    TANIST_TRY(lock.file_.write_at(0, view_of(std::to_string(lock.pid_) + "\n")));
    return lock;
}

void ShipLock::release() {
    if (!file_.is_open()) return;
    keep_in_forked_child(file_.fd());
    file_.close();
}

Result<std::optional<PlaceInLine>> PlaceInLine::take(const std::string& path) {
    auto file = File::open(path, File::Mode::create);
    if (!file) return std::move(file).error();
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_len = 1;
    if (::fcntl(file->fd(), F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES) return std::optional<PlaceInLine>();
        return Error{Errc::io, path + ": cannot be locked: " + std::strerror(errno)};
    }
    PlaceInLine place;
    place.file_ = std::move(file).value();
    return std::optional<PlaceInLine>(std::move(place));
}

bool wait_readable(int fd, Nanos timeout) {
    pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
    return ::poll(&item, 1, static_cast<int>(ms)) > 0;
}

}  // namespace tanist
