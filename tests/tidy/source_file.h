// A C++ source file as the tidy rules see it: lines, includes, and where functions are.
#pragma once

#include <string>
#include <vector>

namespace tanist::tidy {

struct Include {
    int line = 0;
    std::string name;
    bool system = false;  // <...>
};

struct Function {
    int line = 0;   // of its opening brace
    int lines = 0;  // from opening to closing brace
    std::string head;
};

struct SourceFile {
    std::string path;    // from the root of the tree
    std::string folder;  // "replicator/log", "extension", "tests/tidy"
    std::string name;    // "record.cc"
    std::vector<std::string> lines;
    std::vector<Include> includes;
    std::vector<Function> functions;
};

SourceFile read_source(const std::string& root, const std::string& path);

}  // namespace tanist::tidy
