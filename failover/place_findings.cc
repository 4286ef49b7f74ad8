// Processes are looked at through /proc with the standard library only. Of another user's process
// nothing can be seen; then nothing is said about it.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "failover/findings.h"
#include "failover/output.h"
#include "replicator/base/file.h"
#include "replicator/control/setup.h"

namespace tanist {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFreeBytesLeast = 64u << 20;
constexpr size_t kScanBytes = 1u << 20;
// A message that only SQLite's own code has in it.
constexpr std::string_view kSqliteMark = "malformed database schema (%s)";

std::string parent_of(const std::string& path) { return fs::path(path).parent_path().string(); }

void find_directory(const Layout& layout, Findings& findings) {
    const std::string directory =
        path_exists(layout.directory) ? layout.directory : parent_of(layout.db);
    // Asked of the system by doing it: permissions, read-only mounts and quotas all count.
    const std::string probe = directory + "/.tanist-doctor";
    Result<File> made = File::open(probe, File::Mode::create_new);
    if (made) {
        Status removed = remove_path(probe);
        if (removed) {
            findings.push_back({"directory", FindingLevel::ok, directory + " is writable", ""});
            return;
        }
    }
    findings.push_back({"directory", FindingLevel::fail,
                        directory + " is not writable: " +
                            (made ? "a file cannot be removed" : made.error().message),
                        "let the user of the application and of tanistd write there"});
}

void find_space(const Layout& layout, Findings& findings) {
    Result<uint64_t> free = free_bytes(parent_of(layout.db));
    if (!free) {
        findings.push_back({"disk space", FindingLevel::warn, free.error().message, "look there"});
        return;
    }
    Result<Settings> settings = read_settings(layout.settings());
    const uint64_t wanted = settings ? settings->log_bytes_max + settings->wal_bytes_max : 0;
    const std::string sentence = say_bytes(*free) + " free";
    if (*free < kFreeBytesLeast) {
        findings.push_back({"disk space", FindingLevel::fail, sentence, "make room"});
    } else if (*free < wanted) {
        findings.push_back(
            {"disk space", FindingLevel::warn,
             sentence + ", less than log and WAL may take (" + say_bytes(wanted) + ")",
             "make room, or lower log_bytes_max in " + layout.settings()});
    } else {
        findings.push_back({"disk space", FindingLevel::ok, sentence, ""});
    }
    if (!settings) {
        findings.push_back(
            {"settings", FindingLevel::fail, settings.error().message, "correct that line"});
    }
}

bool contains_sqlite(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string window;
    std::string block(kScanBytes, '\0');
    while (file) {
        file.read(block.data(), static_cast<std::streamsize>(block.size()));
        window.append(block, 0, static_cast<size_t>(file.gcount()));
        if (window.find(kSqliteMark) != std::string::npos) return true;
        // What may be the beginning of a mark that the next block completes.
        if (window.size() > kSqliteMark.size()) {
            window.erase(0, window.size() - kSqliteMark.size());
        }
    }
    return false;
}

bool has_open(const fs::path& process, const std::string& db) {
    std::error_code error;
    for (fs::directory_iterator at(process / "fd", error), end; !error && at != end;
         at.increment(error)) {
        std::error_code gone;
        if (fs::read_symlink(at->path(), gone).string() == db && !gone) return true;
    }
    return false;
}

// The files that this process runs code from.
std::set<std::string> code_of(const fs::path& process) {
    std::set<std::string> files;
    std::ifstream maps(process / "maps");
    for (std::string line; std::getline(maps, line);) {
        const size_t slash = line.find('/');
        if (slash == std::string::npos || line.find(" r-xp ") == std::string::npos) continue;
        files.insert(line.substr(slash));
    }
    return files;
}

std::string name_of(const fs::path& process) {
    std::ifstream comm(process / "comm");
    std::string name;
    std::getline(comm, name);
    return "process " + process.filename().string() + " (" + name + ")";
}

void look_at_process(const fs::path& process, Findings& findings) {
    const std::set<std::string> code = code_of(process);
    std::string copies;
    int count = 0;
    bool extended = false;
    for (const std::string& file : code) {
        const std::string base = fs::path(file).filename().string();
        if (base == "tanist.so") {
            extended = true;
            continue;
        }
        if (!contains_sqlite(file)) continue;
        copies += (copies.empty() ? "" : ", ") + file;
        ++count;
    }
    const std::string who = name_of(process) + " has the database open";
    if (count > 1) {
        findings.push_back({"processes", FindingLevel::fail,
                            who + " and " + std::to_string(count) + " copies of SQLite in it (" +
                                copies +
                                "): when one closes the file, the locks of the other are gone",
                            "link that program with one SQLite only"});
    } else {
        findings.push_back({"processes", FindingLevel::ok,
                            who + (extended ? " with" : " without") + " the extension", ""});
    }
}

}  // namespace

void find_place(const Layout& layout, Findings& findings) {
    const std::string unsafe = why_file_system_is_unsafe(layout.db);
    if (unsafe.empty()) {
        findings.push_back({"file system", FindingLevel::ok, "local", ""});
    } else {
        findings.push_back({"file system", FindingLevel::fail, unsafe,
                            "move the database to a local file system"});
    }
    find_directory(layout, findings);
    find_space(layout, findings);
}

void find_processes(const Layout& layout, Findings& findings) {
    std::error_code error;
    size_t seen = 0;
    for (fs::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) {
            continue;
        }
        if (!has_open(at->path(), layout.db)) continue;
        ++seen;
        look_at_process(at->path(), findings);
    }
    if (seen == 0) {
        findings.push_back({"processes", FindingLevel::ok,
                            "none that can be seen from here has the database open", ""});
    }
}

}  // namespace tanist
