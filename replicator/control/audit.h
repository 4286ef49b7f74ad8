// <db>-tanist/audit.log: who gave which command, when, and what came of it. One JSON object a line:
//   {"time":"2026-11-25T18:00:00Z","who":"uid 1000 (anna)","what":"members add","target":"...",
//    "result":"done"}
// 0600, appended with one write each, so that processes may share it; at kAuditBytesMax it becomes
// audit.log.1 and a new one begins. Nothing of it is ever read back.
//
// A command calls audit() once it knows its outcome; promote, switchover, fence and pause as well.
#pragma once

#include <string>

#include "replicator/base/result.h"
#include "replicator/control/layout.h"

namespace tanist {

constexpr uint64_t kAuditBytesMax = 1u << 20;

struct AuditEntry {
    std::string who;     // local_user(), or "key " and the key of a node
    std::string what;    // the command: "members add"
    std::string target;  // the node or file it was about; never a secret
    std::string result;  // "done", or the error's sentence
};

Status audit(const Layout& layout, const AuditEntry& entry);
// audit() with `result` from the outcome; a failure to write is a note, not an error of the
// command.
void audit_outcome(const Layout& layout, const std::string& what, const std::string& target,
                   const Status& outcome);
// "uid 1000 (anna)", and who called sudo.
std::string local_user();
// The line for an entry, with its newline. Pure.
std::string audit_line(const AuditEntry& entry, int64_t unix_ns);

}  // namespace tanist
