#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "extension/engine_starter.h"
#include "extension/host.h"
#include "replicator/base/file.h"

extern char** environ;

namespace tanist {
namespace {

constexpr int kDetachTries = 100;
constexpr int kDetachTryMillis = 10;

// The directory of tanist.so.
std::string own_directory() {
    Dl_info info{};
    if (::dladdr(reinterpret_cast<void*>(&own_directory), &info) == 0) return {};
    const std::string path = real_path(info.dli_fname);
    return path.substr(0, path.rfind('/'));
}

std::string daemon_path() {
    if (const char* given = std::getenv("TANIST_DAEMON"); given != nullptr && *given != 0) {
        return given;
    }
    const std::string beside = own_directory() + "/tanistd";
    return ::access(beside.c_str(), X_OK) == 0 ? beside : "tanistd";
}

class SpawnPlan {
  public:
    SpawnPlan() {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    ~SpawnPlan() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;

    // The daemon starts with the signals of a fresh process, whatever the application did.
    void reset_signals() {
        sigset_t none;
        sigset_t all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setsigdefault(&attributes, &all);
        ::posix_spawnattr_setflags(
            &attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                            POSIX_SPAWN_SETSID));
    }
    void redirect(const std::string& log) {
        ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
        ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0);
        ::posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                           0600);
    }

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

// The environment for the daemon: no LD_PRELOAD, which would put the VFS into the engine, and
// nothing of the application's that would give the daemon other settings than its files.
std::vector<char*> daemon_environment() {
    std::vector<char*> out;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        if (std::strncmp(*entry, "LD_PRELOAD=", 11) == 0) continue;
        if (std::strncmp(*entry, "TANIST_DEFAULT_VFS=", 19) == 0) continue;
        out.push_back(*entry);
    }
    out.push_back(nullptr);
    return out;
}

Error cannot_start(const Layout& layout, const std::string& why) {
    return Error{Errc::unreachable,
                 "no engine could be started for " + layout.db + ": " + why +
                     "; commits go on and are shipped when one runs (`tanistd --engine --db " +
                     layout.db + "`)"};
}

}  // namespace

int64_t coarse_now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void EngineStarter::reap() {
    if (child_ == 0) return;
    int state = 0;
    const pid_t got = ::waitpid(child_, &state, WNOHANG);
    if (got == child_ || (got < 0 && errno != EINTR)) child_ = 0;
}

Status EngineStarter::start_daemon(const Layout& layout) {
    const std::string daemon = daemon_path();
    SpawnPlan plan;
    plan.reset_signals();
    plan.redirect(layout.engine_log());
    const std::string words[] = {daemon, "--engine", "--db", layout.db};
    char* argv[] = {const_cast<char*>(words[0].c_str()), const_cast<char*>(words[1].c_str()),
                    const_cast<char*>(words[2].c_str()), const_cast<char*>(words[3].c_str()),
                    nullptr};
    auto environment = daemon_environment();
    pid_t child = 0;
    const int failed = ::posix_spawnp(&child, daemon.c_str(), &plan.actions, &plan.attributes, argv,
                                      environment.data());
    if (failed != 0) return cannot_start(layout, daemon + ": " + std::strerror(failed));
    child_ = child;
    // It goes into the background by itself and its first process ends, which is the news that it
    // works. A program that ignores SIGCHLD, or waits for all its children, has taken that news.
    for (int i = 0; i < kDetachTries; ++i) {
        int state = 0;
        const pid_t got = ::waitpid(child, &state, WNOHANG);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            child_ = 0;
            return ok_status();
        }
        if (got == child) {
            child_ = 0;
            if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return ok_status();
            return cannot_start(
                layout,
                daemon + " ended with status " +
                    std::to_string(WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state)) +
                    " (see " + layout.engine_log() + ")");
        }
        ::usleep(kDetachTryMillis * 1000);
    }
    return ok_status();
}

Status EngineStarter::start_thread(const Layout& layout) {
    using Start = int (*)(const sqlite3_api_routines*, const char*, NoteSink);
    const std::string module = own_directory() + "/tanist-ship.so";
    void* handle = ::dlopen(module.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return cannot_start(layout, ::dlerror());
    auto start = reinterpret_cast<Start>(::dlsym(handle, "tanist_ship_start"));
    if (start == nullptr) return cannot_start(layout, module + " is not of this version");
    const int rc = start(sqlite3_api, layout.db.c_str(), note_to_sqlite);
    if (rc != SQLITE_OK) return cannot_start(layout, "its thread did not start");
    return ok_status();
}

Status EngineStarter::start(const Layout& layout, ShipHost ship) {
    if (ship == ShipHost::thread) return start_thread(layout);
    auto started = start_daemon(layout);
    if (started.ok() || ship == ShipHost::daemon) return started;
    return start_thread(layout).ok() ? ok_status() : started;
}

}  // namespace tanist
