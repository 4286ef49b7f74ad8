// The daemon that a command may start.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "failover/node_command.h"

extern char** environ;

namespace tanist {
namespace {

// Beside this program; else wherever the shell would find it.
std::string daemon_path() {
    std::array<char, 4096> own{};
    const ssize_t length = ::readlink("/proc/self/exe", own.data(), own.size() - 1);
    const std::string self(own.data(), length > 0 ? static_cast<size_t>(length) : 0);
    const std::string beside = self.substr(0, self.rfind('/') + 1) + "tanistd";
    return ::access(beside.c_str(), X_OK) == 0 ? beside : "tanistd";
}

}  // namespace

Status start_engine(const std::string& db) {
    const std::string daemon = daemon_path();
    const std::string words[] = {daemon, "--engine", "--db", db};
    char* argv[] = {const_cast<char*>(words[0].c_str()), const_cast<char*>(words[1].c_str()),
                    const_cast<char*>(words[2].c_str()), const_cast<char*>(words[3].c_str()),
                    nullptr};
    pid_t child = 0;
    const int failed = ::posix_spawnp(&child, daemon.c_str(), nullptr, nullptr, argv, environ);
    if (failed != 0) {
        return Error{Errc::unreachable, "cannot start " + daemon + ": " + std::strerror(failed)};
    }
    int state = 0;
    while (::waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return ok_status();
    return Error{Errc::unreachable, daemon + " did not start; see " + db + "-tanist/engine.log"};
}

}  // namespace tanist
