#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "replicator/base/notes.h"
#include "replicator/node/hook_runner.h"

extern char** environ;

namespace tanist {
namespace {

using namespace std::chrono_literals;

// Descriptors and what posix_spawn needs, released at the end.
class Descriptor {
  public:
    explicit Descriptor(int fd = -1) : fd_(fd) {}
    ~Descriptor() { close(); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    void close() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    int get() const { return fd_; }

  private:
    int fd_;
};

// The facts before what we inherited: an older value of a name does not count.
std::vector<char*> whole_environment(std::vector<std::string>& facts) {
    std::vector<char*> all;
    for (std::string& fact : facts) all.push_back(fact.data());
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::string_view name = text.substr(0, text.find('=') + 1);
        bool told = false;
        for (const std::string& fact : facts) told = told || fact.starts_with(name);
        if (!told) all.push_back(*entry);
    }
    all.push_back(nullptr);
    return all;
}

// 0, or the error number. The child has nothing of ours but its input, output and environment: a
// descriptor of ship.lock that it kept would hold the lock after our death.
int spawn(const std::string& command, std::vector<std::string> facts, int output, pid_t& pid) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, 1);
    posix_spawn_file_actions_adddup2(&files, output, 2);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    std::string shell = "/bin/sh";
    std::string option = "-c";
    std::string text = command;
    std::array<char*, 4> words = {shell.data(), option.data(), text.data(), nullptr};
    const int failed = ::posix_spawn(&pid, shell.c_str(), &files, &attributes, words.data(),
                                     whole_environment(facts).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

// What a process that may write now has written; false: nobody can write any more.
bool read_some(int fd, HookRun& run, std::vector<HookAction>& out) {
    std::array<char, 4096> block;
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const std::string_view bytes(block.data(), static_cast<size_t>(got));
    for (HookAction& action : run.step(hook_event::Output{bytes}, boot_now())) {
        out.push_back(std::move(action));
    }
    return true;
}

int exit_code_of_status(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// True: it is over. The process group may outlive its first process, which is then its own affair.
bool perform(const std::vector<HookAction>& actions, const std::string& name, pid_t pid) {
    for (const HookAction& action : actions) {
        switch (action.kind) {
            case HookAction::Kind::say:
                note(NoteLevel::info, "hook says", {{"hook", name}, {"line", action.line}});
                break;
            case HookAction::Kind::terminate:
                note(NoteLevel::warning, "hook takes too long and is ended", {{"hook", name}});
                ::kill(-pid, SIGTERM);
                break;
            case HookAction::Kind::kill:
                ::kill(-pid, SIGKILL);
                break;
            case HookAction::Kind::finished:
                note(action.code == 0 && action.in_time ? NoteLevel::info : NoteLevel::warning,
                     "hook ended", {{"hook", name}, {"exit_code", std::to_string(action.code)}});
                return true;
        }
    }
    return false;
}

void watch(const std::string& name, pid_t pid, int output, Nanos limit) {
    HookRun run(limit, boot_now());
    // Readable when the process has ended.
    const Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    for (bool open = true;;) {
        std::array<pollfd, 2> wait = {{{ended.get(), POLLIN, 0}, {open ? output : -1, POLLIN, 0}}};
        // Without a pidfd (an old kernel, no descriptor left) we look now and then.
        const Nanos patience = ended.get() < 0 ? Nanos(20ms) : Nanos(1s);
        const Nanos left = std::clamp(run.deadline() - boot_now(), Nanos(0), patience);
        const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        ::poll(wait.data(), wait.size(), static_cast<int>(milliseconds));
        std::vector<HookAction> actions;
        int status = 0;
        const bool over = ::waitpid(pid, &status, WNOHANG) == pid;
        if (over) {
            while (open && read_some(output, run, actions)) {
                pollfd more{output, POLLIN, 0};
                if (::poll(&more, 1, 0) <= 0) break;
            }
            for (HookAction& action :
                 run.step(hook_event::Ended{exit_code_of_status(status)}, boot_now())) {
                actions.push_back(std::move(action));
            }
        } else {
            if (wait[1].revents != 0) open = read_some(output, run, actions);
            for (HookAction& action : run.step(hook_event::Tick{}, boot_now())) {
                actions.push_back(std::move(action));
            }
        }
        if (perform(actions, name, pid)) return;
    }
}

}  // namespace

void HookRunner::tell(HookFacts facts) {
    if (command_of(settings_, facts.event).empty()) return;
    told_.put(std::move(facts));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void HookRunner::stop() {
    told_.close();
    if (thread_.joinable()) thread_.join();
}

void HookRunner::run() {
    while (true) {
        // Before the queue: what was told before the close is run.
        const bool closed = told_.closed();
        const auto facts = told_.wait(1s);
        for (const HookFacts& one : facts) run_one(one);
        if (facts.empty() && closed) return;
    }
}

void HookRunner::run_one(const HookFacts& facts) {
    const std::string name = std::string("on_") + to_string(facts.event);
    std::array<int, 2> ends = {-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
        note(NoteLevel::error, "hook not run", {{"hook", name}, {"reason", std::strerror(errno)}});
        return;
    }
    const Descriptor output(ends[0]);
    Descriptor input(ends[1]);
    // The command's end blocks, as commands expect.
    ::fcntl(input.get(), F_SETFL, 0);
    pid_t pid = -1;
    const int failed =
        spawn(command_of(settings_, facts.event), environment_of(facts), input.get(), pid);
    input.close();
    if (failed != 0) {
        note(NoteLevel::error, "hook not run", {{"hook", name}, {"reason", std::strerror(failed)}});
        return;
    }
    watch(name, pid, output.get(), settings_.timeout);
}

}  // namespace tanist
