#include "tests/tidy/rules.h"

#include <map>
#include <regex>
#include <set>

namespace tanist::tidy {
namespace {

constexpr size_t kFileLinesMax = 600;
constexpr int kFunctionLinesMax = 70;
constexpr size_t kColumnsMax = 100;

// Which folders a folder may include, besides itself; docs/architecture.md explains the directions.
const std::map<std::string, std::set<std::string>>& allowed() {
    static const std::set<std::string> kBase = {"replicator/base"};
    static const std::map<std::string, std::set<std::string>> kAllowed = {
        {"replicator/base", {}},
        {"replicator/wal", kBase},
        {"replicator/control", kBase},
        {"replicator/log", kBase},
        {"replicator/wire", kBase},
        {"replicator/capture",
         {"replicator/base", "replicator/wal", "replicator/control", "replicator/log"}},
        {"replicator/ship", {"replicator/base", "replicator/log", "replicator/wire"}},
        {"replicator/receive", {"replicator/base", "replicator/log", "replicator/wire"}},
        {"replicator/apply", {"replicator/base", "replicator/wal", "replicator/log"}},
        {"replicator/sync",
         {"replicator/base", "replicator/wal", "replicator/log", "replicator/wire",
          "replicator/apply"}},
        {"replicator/node",
         {"replicator/base", "replicator/wal", "replicator/control", "replicator/log",
          "replicator/capture", "replicator/wire", "replicator/ship", "replicator/receive",
          "replicator/apply", "replicator/sync", "replicator/membership", "failover/core",
          "failover/adapters"}},
        {"replicator/membership", {"replicator/base", "replicator/control", "replicator/wire"}},
        {"replicator/http", {"replicator/base", "replicator/control"}},
        {"replicator",
         {"replicator/base", "replicator/wal", "replicator/control", "replicator/log",
          "replicator/wire", "replicator/node", "replicator/http"}},
        {"extension", {"replicator/base", "replicator/wal", "replicator/control"}},
        {"failover/core", kBase},
        {"failover/adapters", {"replicator/base", "failover/core"}},
        {"failover",
         {"replicator/base", "replicator/wal", "replicator/control", "replicator/log",
          "replicator/wire", "replicator/sync", "replicator/membership", "failover/core",
          "failover/adapters"}},
    };
    return kAllowed;
}

bool starts(const std::string& text, const std::string& with) { return text.rfind(with, 0) == 0; }

bool is_product(const SourceFile& file) {
    return starts(file.folder, "replicator") || starts(file.folder, "extension") ||
           starts(file.folder, "failover");
}

bool is_os_header(const std::string& name) {
    static const std::set<std::string> kOs = {
        "unistd.h", "fcntl.h",  "poll.h",     "signal.h",    "sched.h",   "pthread.h",
        "dirent.h", "dlfcn.h",  "netdb.h",    "spawn.h",     "termios.h", "grp.h",
        "pwd.h",    "syslog.h", "ucontext.h", "semaphore.h", "mqueue.h"};
    return kOs.count(name) != 0 || starts(name, "sys/") || starts(name, "linux/") ||
           starts(name, "netinet/") || starts(name, "arpa/") || starts(name, "net/");
}

using Breaches = std::vector<Breach>;

void check_direction(const SourceFile& file, const Include& include, Breaches& out) {
    if (include.name.find("_main.") != std::string::npos) {
        out.push_back({"main", include.line, "nobody includes a main: " + include.name});
    }
    if (!is_product(file) || include.system) return;
    const size_t slash = include.name.find_last_of('/');
    const std::string target = slash == std::string::npos ? "" : include.name.substr(0, slash);
    const auto rule = allowed().find(file.folder);
    if (rule == allowed().end()) {
        out.push_back({"direction", include.line, "the table has no folder " + file.folder});
    } else if (target != file.folder && rule->second.count(target) == 0) {
        out.push_back(
            {"direction", include.line, file.folder + " may not include " + include.name});
    }
}

void check_owner(const SourceFile& file, const Include& include, Breaches& out) {
    if (!is_product(file) || !include.system) return;
    if (is_os_header(include.name) &&
        !(starts(file.name, "posix_") && file.name.ends_with(".cc"))) {
        out.push_back({"os header", include.line, "only posix_*.cc may include " + include.name});
    }
    if (starts(include.name, "zmq") && !starts(file.name, "zmq_")) {
        out.push_back({"zmq header", include.line, "only zmq_* may include " + include.name});
    }
    if (starts(include.name, "sodium") && !starts(file.name, "sodium_")) {
        out.push_back({"sodium header", include.line, "only sodium_* may include " + include.name});
    }
    const bool sqlite_owner = file.folder == "extension" ||
                              (file.folder == "replicator/wal" && starts(file.name, "sqlite_"));
    if (starts(include.name, "sqlite3") && !sqlite_owner) {
        out.push_back({"sqlite header", include.line,
                       "only replicator/wal/sqlite_* and extension may include " + include.name});
    }
}

void check_size(const SourceFile& file, Breaches& out) {
    if (file.lines.size() > kFileLinesMax) {
        out.push_back({"file length", static_cast<int>(file.lines.size()),
                       "a file has at most " + std::to_string(kFileLinesMax) + " lines"});
    }
    for (size_t i = 0; i < file.lines.size(); ++i) {
        // Columns, not bytes: UTF-8 continuation bytes do not count.
        size_t columns = 0;
        for (const char c : file.lines[i])
            columns += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
        if (columns > kColumnsMax) {
            out.push_back({"columns", static_cast<int>(i + 1),
                           std::to_string(columns) + " columns, at most 100"});
        }
    }
    for (const Function& function : file.functions) {
        if (function.lines <= kFunctionLinesMax) continue;
        out.push_back({"function length", function.line,
                       "a function of " + std::to_string(function.lines) + " lines, at most 70"});
    }
}

void check_name(const SourceFile& file, Breaches& out) {
    static const std::regex kVague("(^|_)(utils?|common|managers?|helpers?|misc)(_|\\.)");
    if (std::regex_search(file.name, kVague)) {
        out.push_back({"file name", 1, "a name that says nothing: " + file.name});
    }
    static const std::regex kSnake("[a-z0-9_]+\\.(cc|h)");
    if (!std::regex_match(file.name, kSnake)) {
        out.push_back({"file name", 1, "files are named in snake_case: " + file.name});
    }
}

}  // namespace

std::vector<std::string> rule_names() {
    return {"direction",     "main",        "os header", "zmq header",      "sodium header",
            "sqlite header", "file length", "columns",   "function length", "file name"};
}

std::vector<Breach> check(const SourceFile& file) {
    Breaches breaches;
    for (const Include& include : file.includes) {
        check_direction(file, include, breaches);
        check_owner(file, include, breaches);
    }
    check_size(file, breaches);
    check_name(file, breaches);
    return breaches;
}

}  // namespace tanist::tidy
