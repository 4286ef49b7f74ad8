// tidy ROOT [--expect-all]: prints every breach of the rules in ROOT's C++ files, exit 1 when there
// is one. With --expect-all the other way round: every rule must be broken somewhere.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tests/tidy/rules.h"

namespace {

namespace fs = std::filesystem;

std::vector<std::string> sources(const fs::path& root) {
    std::vector<std::string> paths;
    for (const char* top : {"replicator", "extension", "failover", "tests", "examples"}) {
        if (!fs::is_directory(root / top)) continue;
        for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
            const std::string path = entry.path().lexically_relative(root).string();
            const std::string ending = entry.path().extension().string();
            const bool specimen = path.rfind("tests/tidy/bad/", 0) == 0;
            if ((ending == ".cc" || ending == ".h") && !specimen) paths.push_back(path);
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: tidy ROOT [--expect-all]\n");
        return 2;
    }
    const std::string root = argv[1];
    const bool expect_all = argc > 2 && std::string(argv[2]) == "--expect-all";
    const std::vector<std::string> paths = sources(root);
    std::set<std::string> broken;
    size_t count = 0;
    for (const std::string& path : paths) {
        for (const auto& breach : tanist::tidy::check(tanist::tidy::read_source(root, path))) {
            std::printf("%s:%d: %s\n", path.c_str(), breach.line, breach.sentence.c_str());
            broken.insert(breach.rule);
            ++count;
        }
    }
    std::printf("%zu files, %zu breaches\n", paths.size(), count);
    if (!expect_all) return count == 0 && !paths.empty() ? 0 : 1;
    for (const std::string& rule : tanist::tidy::rule_names()) {
        if (broken.count(rule) != 0) continue;
        std::printf("nothing broke the rule '%s'\n", rule.c_str());
        return 1;
    }
    return 0;
}
