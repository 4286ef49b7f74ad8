// A function run in a forked child of the test, for what must not happen to the test itself.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <stdexcept>
#include <string>

namespace tanist::testing {

// What `work` answered, "error: ..." when it threw, "" when the child died of it. Returns when
// nobody has the child's end of the pipe any more, so after its own children, too.
inline std::string in_child(const std::function<std::string()>& work) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    const pid_t child = ::fork();
    if (child == 0) {
        std::string answer;
        try {
            answer = work();
        } catch (const std::exception& error) {
            answer = std::string("error: ") + error.what();
        }
        const ssize_t written = ::write(ends[1], answer.data(), answer.size());
        ::_exit(written >= 0 ? 0 : 1);
    }
    ::close(ends[1]);
    std::string answer;
    char block[4096];
    for (ssize_t got = 0; (got = ::read(ends[0], block, sizeof block)) > 0;) {
        answer.append(block, static_cast<size_t>(got));
    }
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return answer;
}

}  // namespace tanist::testing
