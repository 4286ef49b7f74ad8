#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "replicator/node/daemonize.h"

namespace tanist {
namespace {

constexpr off_t kLogBytesMax = 4 << 20;

Error system_error(const std::string& what) {
    return {Errc::io, what + ": " + std::strerror(errno)};
}

Result<int> open_log(const std::string& path) {
    int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0600);
    if (fd < 0) return system_error("cannot open " + path);
    struct stat facts;
    if (::fstat(fd, &facts) == 0 && facts.st_size > kLogBytesMax && ::ftruncate(fd, 0) != 0) {
        Error error = system_error("cannot empty " + path);
        ::close(fd);
        return error;
    }
    return fd;
}

// Of those above the standard streams.
bool close_all_but(int kept) {
    const auto first = static_cast<unsigned>(std::max(kept, STDERR_FILENO));
    return (first <= 3 || ::close_range(3, first - 1, 0) == 0) &&
           ::close_range(first + 1, ~0u, 0) == 0;
}

}  // namespace

Result<bool> detach(const std::string& log_path, int kept) {
    Result<int> log = open_log(log_path);
    if (!log) return std::move(log).error();
    pid_t child = ::fork();
    if (child < 0) return system_error("cannot fork");
    if (child > 0) return false;
    // A session without a terminal; the second fork gives up the right to get one.
    if (::setsid() < 0) ::_exit(1);
    pid_t grandchild = ::fork();
    if (grandchild != 0) ::_exit(grandchild < 0 ? 1 : 0);
    int null = ::open("/dev/null", O_RDONLY);
    if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(*log, 1) < 0 || ::dup2(*log, 2) < 0) ::_exit(1);
    if (!close_all_but(kept)) ::_exit(1);
    ::umask(077);
    if (::chdir("/") != 0) return system_error("cannot go to /");
    return true;
}

Result<int> open_stop_signals() {
    struct sigaction plain {};
    plain.sa_handler = SIG_DFL;
    struct sigaction ignored {};
    ignored.sa_handler = SIG_IGN;
    sigset_t stops;
    sigemptyset(&stops);
    for (int number : {SIGTERM, SIGINT}) {
        sigaddset(&stops, number);
        if (::sigaction(number, &plain, nullptr) != 0) return system_error("sigaction");
    }
    if (::sigaction(SIGPIPE, &ignored, nullptr) != 0) return system_error("sigaction");
    // Whoever started us may have ignored it, and the ends of hooks would be lost.
    if (::sigaction(SIGCHLD, &plain, nullptr) != 0) return system_error("sigaction");
    if (::sigprocmask(SIG_SETMASK, &stops, nullptr) != 0) return system_error("sigprocmask");
    int fd = ::signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) return system_error("signalfd");
    return fd;
}

int process_id() { return static_cast<int>(::getpid()); }

}  // namespace tanist
