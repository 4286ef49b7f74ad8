// Child processes of a test: started with their own log, killed by exact pid, never left behind
// (a child dies with its parent, and the destructor kills and reaps).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace tanist::testing {

struct ChildOptions {
    std::string log = {};                       // for errors, and output unless `talk`
    bool talk = false;                          // standard output is a pipe, see read_line()
    int cpu = -1;                               // pinned to this core; -1 anywhere
    bool outlive = false;                       // not killed when the parent dies (default: it is)
    std::vector<std::string> environment = {};  // "NAME=value", added to ours
};

class Child {
  public:
    Child() = default;
    Child(const std::vector<std::string>& command, const ChildOptions& options);
    Child(Child&& other) noexcept { *this = std::move(other); }
    Child& operator=(Child&& other) noexcept;
    ~Child();

    pid_t pid() const { return pid_; }
    bool started() const { return pid_ > 0; }
    // The wait status when it has ended; nothing while it runs. Reaps.
    std::optional<int> poll_end();
    // Nothing: still running after `patience`.
    std::optional<int> wait_end(std::chrono::milliseconds patience);
    void signal(int number) const;
    // SIGKILL and reap.
    void kill();
    // One line of standard output without its newline; nothing after `patience` or at the end.
    std::optional<std::string> read_line(std::chrono::milliseconds patience);

  private:
    pid_t pid_ = -1;
    int out_ = -1;
    std::optional<int> status_;
    std::string pending_;
};

// "exited with 3", "killed by signal 9"
std::string describe_end(int status);
// Runs to its end; the exit code, or 128 + signal, or 127.
int run(const std::vector<std::string>& command, const ChildOptions& options);
// Runs to its end and gives its standard output.
std::string output_of(const std::vector<std::string>& command);

}  // namespace tanist::testing
