#include "tests/support/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tanist::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

int milliseconds_until(steady_clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    return left.count() < 0 ? 0 : static_cast<int>(left.count());
}

// Runs in the child between fork and exec.
[[noreturn]] void become(const std::vector<std::string>& command, const ChildOptions& options,
                         int out, pid_t parent) {
    if (!options.outlive) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(127);
    }
    if (options.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(static_cast<unsigned>(options.cpu), &set);
        ::sched_setaffinity(0, sizeof set, &set);
    }
    if (!options.log.empty()) {
        const int log =
            ::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (log >= 0) ::dup2(log, 2);
        if (log >= 0 && out < 0) ::dup2(log, 1);
    }
    if (out >= 0) ::dup2(out, 1);
    for (const std::string& entry : options.environment) {
        const size_t equals = entry.find('=');
        ::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
    }
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    ::execvp(words[0], words.data());
    std::fprintf(stderr, "%s: %s\n", words[0], std::strerror(errno));
    ::_exit(127);
}

}  // namespace

Child::Child(const std::vector<std::string>& command, const ChildOptions& options) {
    int ends[2] = {-1, -1};
    if (options.talk && ::pipe2(ends, O_CLOEXEC) != 0) return;
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) become(command, options, ends[1], parent);
    if (ends[1] >= 0) ::close(ends[1]);
    out_ = ends[0];
}

Child& Child::operator=(Child&& other) noexcept {
    if (this == &other) return *this;
    kill();
    if (out_ >= 0) ::close(out_);
    pid_ = std::exchange(other.pid_, -1);
    out_ = std::exchange(other.out_, -1);
    status_ = std::exchange(other.status_, std::nullopt);
    pending_ = std::move(other.pending_);
    return *this;
}

Child::~Child() {
    kill();
    if (out_ >= 0) ::close(out_);
}

std::optional<int> Child::poll_end() {
    if (pid_ <= 0 || status_) return status_;
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    return status_;
}

std::optional<int> Child::wait_end(milliseconds patience) {
    if (pid_ <= 0 || status_) return status_;
    // A pidfd becomes readable when the process ends.
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    const auto deadline = steady_clock::now() + patience;
    pollfd wait{fd, POLLIN, 0};
    while (!poll_end() && fd >= 0 && steady_clock::now() < deadline) {
        ::poll(&wait, 1, milliseconds_until(deadline));
    }
    if (fd >= 0) ::close(fd);
    return poll_end();
}

void Child::signal(int number) const {
    if (pid_ > 0 && !status_) ::kill(pid_, number);
}

void Child::kill() {
    if (pid_ <= 0 || status_) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
}

std::optional<std::string> Child::read_line(milliseconds patience) {
    const auto deadline = steady_clock::now() + patience;
    for (;;) {
        const size_t newline = pending_.find('\n');
        if (newline != std::string::npos) {
            std::string line = pending_.substr(0, newline);
            pending_.erase(0, newline + 1);
            return line;
        }
        pollfd wait{out_, POLLIN, 0};
        if (out_ < 0 || ::poll(&wait, 1, milliseconds_until(deadline)) <= 0) return std::nullopt;
        char buffer[4096];
        const ssize_t got = ::read(out_, buffer, sizeof buffer);
        if (got <= 0) return std::nullopt;
        pending_.append(buffer, static_cast<size_t>(got));
    }
}

std::string describe_end(int status) {
    if (WIFSIGNALED(status)) return "killed by signal " + std::to_string(WTERMSIG(status));
    return "exited with " + std::to_string(WEXITSTATUS(status));
}

int run(const std::vector<std::string>& command, const ChildOptions& options) {
    Child child(command, options);
    const auto status = child.wait_end(std::chrono::hours(24));
    if (!status) return 127;
    return WIFSIGNALED(*status) ? 128 + WTERMSIG(*status) : WEXITSTATUS(*status);
}

std::string output_of(const std::vector<std::string>& command) {
    ChildOptions options;
    options.talk = true;
    Child child(command, options);
    std::string text;
    while (auto line = child.read_line(std::chrono::seconds(30))) text += *line + "\n";
    return text;
}

}  // namespace tanist::testing
