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
#include <optional>

#include "replicator/node/command_run.h"
#include "replicator/node/run_command.h"

extern char** environ;

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr int kCodeUnknown = 255;

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
int spawn(const Command& command, int output, pid_t& pid) {
    std::vector<std::string> facts = command.environment;
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
    std::string text = command.text;
    std::array<char*, 4> words = {shell.data(), option.data(), text.data(), nullptr};
    const int failed = ::posix_spawn(&pid, shell.c_str(), &files, &attributes, words.data(),
                                     whole_environment(facts).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

// What a process that may write now has written; false: nobody can write any more.
bool read_some(int fd, CommandRun& run, std::vector<CommandAction>& out) {
    std::array<char, 4096> block;
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const std::string_view bytes(block.data(), static_cast<size_t>(got));
    for (CommandAction& action : run.step(command_event::Output{bytes}, boot_now())) {
        out.push_back(std::move(action));
    }
    return true;
}

// Nothing: it runs. Where the kernel reaps our children itself, their codes are lost.
std::optional<int> end_of(pid_t pid) {
    int status = 0;
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got < 0 && errno == ECHILD) return kCodeUnknown;
    if (got != pid) return std::nullopt;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// The process group may outlive its first process, which is then its own affair.
std::optional<CommandEnd> perform(const std::vector<CommandAction>& actions, pid_t pid,
                                  const CommandWatch& watch) {
    for (const CommandAction& action : actions) {
        switch (action.kind) {
            case CommandAction::Kind::say:
                watch.said(action.line);
                break;
            case CommandAction::Kind::terminate:
                watch.ended_by_us();
                ::kill(-pid, SIGTERM);
                break;
            case CommandAction::Kind::kill:
                ::kill(-pid, SIGKILL);
                break;
            case CommandAction::Kind::finished:
                return CommandEnd{.not_run = "", .code = action.code, .in_time = action.in_time};
        }
    }
    return std::nullopt;
}

void append(std::vector<CommandAction>& out, std::vector<CommandAction> more) {
    std::move(more.begin(), more.end(), std::back_inserter(out));
}

// What the process wrote before it ended is there to be read; others may still write.
void read_the_rest(int output, CommandRun& run, std::vector<CommandAction>& out) {
    while (read_some(output, run, out)) {
        pollfd more{output, POLLIN, 0};
        if (::poll(&more, 1, 0) <= 0) return;
    }
}

CommandEnd follow(pid_t pid, int output, Nanos limit, const CommandWatch& watch) {
    CommandRun run(limit, boot_now());
    // Readable when the process has ended.
    const Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    bool stop_seen = false;
    for (bool open = true;;) {
        std::array<pollfd, 3> wait = {{{ended.get(), POLLIN, 0},
                                       {open ? output : -1, POLLIN, 0},
                                       {stop_seen ? -1 : watch.stop_fd, POLLIN, 0}}};
        // Without a pidfd (an old kernel, no descriptor left) we look now and then.
        const Nanos patience = ended.get() < 0 ? Nanos(20ms) : Nanos(1s);
        const Nanos left = std::clamp(run.deadline() - boot_now(), Nanos(0), patience);
        const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        ::poll(wait.data(), wait.size(), static_cast<int>(milliseconds));
        std::vector<CommandAction> actions;
        if (const auto code = end_of(pid)) {
            if (open) read_the_rest(output, run, actions);
            append(actions, run.step(command_event::Ended{*code}, boot_now()));
        } else {
            if (wait[1].revents != 0) open = read_some(output, run, actions);
            if (wait[2].revents != 0) {
                stop_seen = true;
                append(actions, run.step(command_event::Stop{}, boot_now()));
            }
            append(actions, run.step(command_event::Tick{}, boot_now()));
        }
        if (const auto end = perform(actions, pid, watch)) return *end;
    }
}

}  // namespace

CommandEnd run_command(const Command& command, const CommandWatch& watch) {
    std::array<int, 2> ends = {-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return {std::strerror(errno)};
    const Descriptor output(ends[0]);
    Descriptor input(ends[1]);
    // The command's end blocks, as commands expect.
    ::fcntl(input.get(), F_SETFL, 0);
    pid_t pid = -1;
    const int failed = spawn(command, input.get(), pid);
    input.close();
    if (failed != 0) return {std::strerror(failed)};
    return follow(pid, output.get(), command.limit, watch);
}

}  // namespace tanist
