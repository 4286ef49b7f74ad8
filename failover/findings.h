// What `tanist doctor` looks at. Each function adds what it found; none changes anything, and the
// database is only touched through SQLite, read-only.
#pragma once

#include <string>
#include <vector>

#include "replicator/control/layout.h"

namespace tanist {

enum class FindingLevel { ok, warn, fail };

struct Finding {
    std::string check;
    FindingLevel level = FindingLevel::ok;
    std::string sentence;
    std::string remedy;  // "" for ok
};
using Findings = std::vector<Finding>;

// sqlite_findings.cc
void find_sqlite_version(Findings& findings);
void find_database(const Layout& layout, Findings& findings);
// place_findings.cc: file system, directory, disk space, processes that have the database open.
void find_place(const Layout& layout, Findings& findings);
void find_processes(const Layout& layout, Findings& findings);
// replication_findings.cc: node, engine, replicas, log.
void find_replication(const Layout& layout, Findings& findings);

// "" or the sentence of each known WAL bug of this version. Pure.
std::string wal_reset_bug(int version);
std::string checksum_bug(int version);

}  // namespace tanist
