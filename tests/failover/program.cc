#include "tests/failover/program.h"

#include <stdlib.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "tests/failover/network.h"

namespace tanist::torture {

int play_in_directory(
    int argc, char** argv, std::string pattern,
    const std::function<int(testing::Arguments& arguments, const std::string& directory)>& play) {
    ::signal(SIGPIPE, SIG_IGN);
    testing::Arguments arguments(argc, argv);
    if (const std::string why = Network::why_impossible(); !why.empty()) {
        std::printf("skipped: %s\n", why.c_str());
        return kSkipped;
    }
    std::string& directory = pattern;
    if (::mkdtemp(directory.data()) == nullptr) return 1;
    int code = 1;
    try {
        code = play(arguments, directory);
    } catch (const std::exception& error) {
        std::printf("%s\n", error.what());
    }
    if (code == 0) {
        std::error_code ignored;
        std::filesystem::remove_all(directory, ignored);
    } else {
        std::printf("logs and notes are kept in %s\n", directory.c_str());
    }
    return code;
}

}  // namespace tanist::torture
