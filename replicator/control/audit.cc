#include "replicator/control/audit.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "replicator/base/bytes.h"
#include "replicator/base/clock.h"
#include "replicator/base/file.h"
#include "replicator/base/notes.h"

namespace tanist {

// posix_audit.cc: one O_APPEND write.
Status append_line(const std::string& path, const std::string& line);

namespace {

std::string utc(int64_t unix_ns) {
    const auto seconds = static_cast<std::time_t>(unix_ns / 1'000'000'000);
    std::tm parts{};
    char text[32] = "";
    if (gmtime_r(&seconds, &parts) != nullptr) {
        std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    return text;
}

}  // namespace

std::string audit_line(const AuditEntry& entry, int64_t unix_ns) {
    nlohmann::ordered_json json{{"time", utc(unix_ns)},
                                {"who", entry.who},
                                {"what", entry.what},
                                {"target", entry.target},
                                {"result", entry.result}};
    return json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Status audit(const Layout& layout, const AuditEntry& entry) {
    const std::string path = layout.audit_log();
    // Two processes that turn the file over at once leave one of the two a short .1.
    if (Result<FileStat> stat = stat_path(path); stat && stat->bytes >= kAuditBytesMax) {
        TANIST_TRY(rename_path(path, path + ".1"));
    }
    return append_line(path, audit_line(entry, unix_now_ns()));
}

void audit_outcome(const Layout& layout, const std::string& what, const std::string& target,
                   const Status& outcome) {
    Status written = audit(layout, {.who = local_user(),
                                    .what = what,
                                    .target = target,
                                    .result = outcome ? "done" : outcome.error().message});
    if (!written) {
        note(NoteLevel::warning, "the audit log takes nothing",
             {{"reason", written.error().message}});
    }
}

}  // namespace tanist
