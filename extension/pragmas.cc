#include "extension/pragmas.h"

#include <algorithm>

#include "extension/database_file.h"
#include "extension/host.h"
#include "extension/status.h"
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

int run_pragma(DatabaseFile& file, char** words) {
    const char* name = words[1];
    const char* value = words[2];
    if (same(name, "tanist_position")) {
        auto position = position_text(file);
        return position.ok() ? answer(words, SQLITE_OK, *position)
                             : answer(words, SQLITE_ERROR, position.error().message);
    }
    if (same(name, "tanist_role")) return answer(words, SQLITE_OK, role_text(file));
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
