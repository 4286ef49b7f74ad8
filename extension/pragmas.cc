#include "extension/pragmas.h"

#include <algorithm>

#include "extension/database_file.h"
#include "extension/host.h"
#include "extension/status.h"
#include "replicator/base/ids.h"
#include "replicator/control/primary_endpoint.h"
#include "replicator/wal/wal_index.h"

namespace tanist {
namespace {

// Long enough for an engine to start.
constexpr auto kPositionPatience = std::chrono::seconds(2);

bool same(const char* text, const char* word) { return sqlite3_stricmp(text, word) == 0; }

// The text is SQLite's to free.
int answer(char** words, int rc, const std::string& text) {
    words[0] = sqlite3_mprintf("%s", text.c_str());
    return words[0] == nullptr ? SQLITE_NOMEM : rc;
}

bool covers(const CapturedPoint& point, const WalIndexHeader& header) {
    if (point.change != header.change) return false;
    if (header.max_frame == 0) return true;
    return point.salt1 == header.salt.salt1 && point.salt2 == header.salt.salt2 &&
           point.frame >= header.max_frame;
}

Error not_reachable(const DatabaseFile& file) {
    std::string sentence = "the engine of " + file.layout.db + " does not answer";
    if (!file.last_error.empty()) sentence += " (" + file.last_error + ")";
    return Error{Errc::unreachable, sentence + "; see " + file.layout.engine_log() +
                                        ", or run `tanistd --engine --db " + file.layout.db + "`"};
}

Result<std::string> captured_position(DatabaseFile& file) {
    const Instant deadline = boot_now() + kPositionPatience;
    while (true) {
        const uint32_t tick = file.control->captured_tick.load(std::memory_order_seq_cst);
        const CapturedPoint point = file.control.captured();
        // What covers the header is true even when the engine has died since.
        const auto header = file.gate.region() != nullptr
                                ? read_wal_index_header(file.gate.region())
                                : std::nullopt;
        const bool here = file.gate.region() == nullptr
                              ? file.engine_answers()
                              : header.has_value() && covers(point, *header);
        if (here && point.position.epoch.value != 0) return to_string(point.position);
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) return not_reachable(file);
        file.ensure_engine();
        file.control.ring(true);
        // The header may have been in the middle of a commit, so do not sleep through its end.
        file.control.wait_captured(tick, std::min<Nanos>(left, std::chrono::milliseconds(50)));
    }
}

}  // namespace

std::string role_text(const DatabaseFile& file) { return to_string(file.role()); }

std::string primary_text(const DatabaseFile& file) { return read_primary_endpoint(file.layout); }

Result<std::string> position_text(DatabaseFile& file) {
    if (!file.control) {
        auto control = Control::open(file.layout.control(), false, false);
        if (!control.ok()) return not_reachable(file);
        file.control = std::move(*control);
    }
    if (file.role() == Role::replica) {
        const Epoch epoch{file.control->epoch.load(std::memory_order_acquire)};
        const Lsn lsn{file.control->applied_lsn.load(std::memory_order_acquire)};
        return to_string(Position{epoch, lsn});
    }
    return captured_position(file);
}

Result<std::string> wait_position(DatabaseFile& file, const std::string& wanted) {
    const auto position = parse_position(wanted);
    if (!position) {
        return Error{Errc::invalid, "\"" + wanted +
                                        "\" is no position: write EPOCH:LSN, as "
                                        "`tanist_position` says it on the primary"};
    }
    const Instant deadline = boot_now() + file.policy.timeout;
    while (true) {
        const uint32_t tick =
            file.control ? file.control->captured_tick.load(std::memory_order_seq_cst) : 0;
        auto reached = position_text(file);
        if (!reached.ok()) return reached;
        const auto here = parse_position(*reached);
        if (here && here->epoch >= position->epoch && here->lsn >= position->lsn) return reached;
        const Nanos left = deadline - boot_now();
        if (left.count() <= 0) {
            return Error{Errc::unreachable, "position " + wanted + " was not reached within " +
                                                duration_text(file.policy.timeout) +
                                                "; this database is at " + *reached};
        }
        file.control.wait_captured(tick, std::min<Nanos>(left, std::chrono::milliseconds(20)));
    }
}

Result<std::string> commit_setting(DatabaseFile& file, const std::string& name,
                                   const std::optional<std::string>& value) {
    CommitPolicy& policy = file.policy;
    if (value) {
        Settings changed;
        changed.commit = policy;
        TANIST_TRY(apply_setting(changed, name, *value));
        if (name == "ack") TANIST_TRY(file.check_rule(changed.commit.rule));
        policy = changed.commit;
    }
    if (name == "ack") return to_string(policy.rule);
    if (name == "commit_mode") return std::string(to_string(policy.mode));
    if (name == "ack_timeout") return duration_text(policy.timeout);
    return std::string(to_string(policy.on_timeout));
}

int run_pragma(DatabaseFile& file, char** words) {
    const char* name = words[1];
    const char* value = words[2];
    const auto say = [words](const Result<std::string>& result) {
        return result.ok() ? answer(words, SQLITE_OK, *result)
                           : answer(words, SQLITE_ERROR, result.error().message);
    };
    if (same(name, "tanist_position")) return say(position_text(file));
    for (const char* setting : {"ack", "commit_mode", "ack_timeout", "on_timeout"}) {
        if (!same(name, (std::string("tanist_") + setting).c_str())) continue;
        const std::optional<std::string> wish =
            value != nullptr ? std::optional<std::string>(value) : std::nullopt;
        return say(commit_setting(file, setting, wish));
    }
    if (same(name, "tanist_wait")) {
        if (value == nullptr) {
            return answer(words, SQLITE_ERROR, "tanist_wait needs a position: 'EPOCH:LSN'");
        }
        return say(wait_position(file, value));
    }
    if (same(name, "synchronous") && value != nullptr) file.commits.forget_synchronous();
    if (same(name, "tanist_role")) return answer(words, SQLITE_OK, role_text(file));
    if (same(name, "tanist_primary")) return answer(words, SQLITE_OK, primary_text(file));
    if (same(name, "tanist_status")) return answer(words, SQLITE_OK, status_text(file));
    if (value == nullptr) return SQLITE_NOTFOUND;
    if (same(name, "locking_mode") && same(value, "exclusive")) {
        return answer(words, SQLITE_ERROR,
                      "locking_mode=EXCLUSIVE is refused: the database is replicated, and its "
                      "commits could not be seen");
    }
    if (same(name, "journal_mode")) {
        if (!same(value, "wal")) {
            return answer(words, SQLITE_ERROR,
                          std::string("journal_mode=") + value +
                              " is refused: the database is replicated, which needs WAL");
        }
        // From a rollback journal, SQLite writes page 1 under a journal once.
        file.switching = true;
    }
    return SQLITE_NOTFOUND;
}

}  // namespace tanist
