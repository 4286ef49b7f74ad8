#include "extension/database_file.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "extension/host.h"
#include "replicator/base/file.h"
#include "replicator/control/setup.h"

namespace tanist {
namespace {

constexpr int64_t kBeatFreshNs = 3'000'000'000;
// A look costs three system calls, a start some milliseconds.
constexpr int64_t kEngineCheckEveryNs = 100'000'000;
// So many within this time, and after one that failed none for as long: an engine that dies again
// and again costs the application no more.
constexpr int64_t kEngineStartsWithinNs = 1'000'000'000;
constexpr int kSwitchPatienceMs = 2000;

int first_column(void* out, int count, char** values, char**) {
    if (count > 0 && values[0] != nullptr) *static_cast<std::string*>(out) = values[0];
    return 0;
}

// One PRAGMA with one result; SQLite's sentence and code on failure.
int ask(sqlite3* db, const char* sql, std::string& answer) {
    const int rc = sqlite3_exec(db, sql, first_column, &answer, nullptr);
    if (rc != SQLITE_OK) answer = sqlite3_errmsg(db);
    return rc;
}

// A database that cannot be read may be encrypted, its key not yet given. A host without a codec
// can only be looking at something that is no database.
bool may_be_encrypted(int rc) {
    return rc == SQLITE_NOTADB && sqlite3_compileoption_used("HAS_CODEC") != 0;
}

// The application sets its busy timeout after the open; ours must not stay.
class Patience {
  public:
    explicit Patience(sqlite3* db) : db_(db) { sqlite3_busy_timeout(db_, kSwitchPatienceMs); }
    ~Patience() { sqlite3_busy_timeout(db_, 0); }
    Patience(const Patience&) = delete;
    Patience& operator=(const Patience&) = delete;

  private:
    sqlite3* db_;
};

// Also makes SQLite open its WAL, so that region 0 is mapped from here on.
Status turn_to_wal(sqlite3* db, DatabaseFile& file) {
    std::string mode;
    const Patience patience(db);
    int rc = ask(db, "PRAGMA main.journal_mode", mode);
    // Somebody recovers the WAL, or holds the database for long. A stock open would succeed, and
    // the application's own timeout would then apply: so the open is not failed here.
    if ((rc & 0xff) == SQLITE_BUSY) return ok_status();
    if (rc == SQLITE_OK && mode != "wal") {
        const std::string before = mode;
        file.switching = true;
        rc = ask(db, "PRAGMA main.journal_mode=WAL", mode);
        file.switching = false;
        if (rc == SQLITE_OK && mode == "wal") {
            log_line(file.layout.db + " was switched from journal_mode=" + before +
                     " to WAL, which replication needs");
        }
    }
    if (may_be_encrypted(rc)) return ok_status();
    if (rc != SQLITE_OK) {
        return Error{Errc::invalid, file.layout.db + " cannot be replicated: " + mode};
    }
    if (mode != "wal") {
        return Error{Errc::busy, file.layout.db +
                                     " cannot be replicated while it is in journal_mode=" + mode +
                                     "; close the other connections to it and open it again"};
    }
    rc = ask(db, "PRAGMA main.schema_version", mode);
    if (rc != SQLITE_OK && !may_be_encrypted(rc) && (rc & 0xff) != SQLITE_BUSY) {
        return Error{Errc::invalid, file.layout.db + " cannot be replicated: " + mode};
    }
    return ok_status();
}

Status add_given_replicas(const DatabaseFile& file) {
    auto members = read_members(file.layout.members());
    if (!members.ok()) return std::move(members).error();
    bool changed = false;
    for (const std::string& endpoint : file.settings.replicas) {
        TANIST_TRY(check_endpoint(endpoint));
        const bool known = std::any_of(members->begin(), members->end(), [&](const Member& member) {
            return member.endpoint == endpoint;
        });
        if (known) continue;
        Member member;
        member.endpoint = endpoint;
        const size_t scheme = endpoint.find("://");
        member.name = scheme == std::string::npos ? endpoint : endpoint.substr(scheme + 3);
        TANIST_TRY(add_member(*members, member));
        changed = true;
    }
    if (!changed) return ok_status();
    return write_members(file.layout.members(), *members);
}

}  // namespace

void log_line(const std::string& sentence) {
    sqlite3_log(SQLITE_NOTICE, "tanist: %s", sentence.c_str());
}

Role DatabaseFile::role() const {
    const Role shared =
        control ? static_cast<Role>(control->role.load(std::memory_order_acquire)) : Role::unknown;
    return shared != Role::unknown ? shared : node_role;
}

bool DatabaseFile::role_allows_write() const {
    const Role now = role();
    return now == Role::primary || now == Role::unknown;
}

LeaseGate DatabaseFile::lease() const {
    if (!control) return elects ? LeaseGate::wait : LeaseGate::open;
    // Without leases no clock is asked.
    if (control->lease_deadline_ns.load(std::memory_order_acquire) == 0) {
        return elects ? LeaseGate::wait : LeaseGate::open;  // no daemon has run in this boot
    }
    return lease_gate(*control, boot_now());
}

bool DatabaseFile::may_commit() const {
    if (!role_allows_write()) return false;
    const int64_t deadline_ns =
        control ? control->lease_deadline_ns.load(std::memory_order_acquire) : 0;
    return deadline_ns == 0 ? !elects : boot_now().ns < deadline_ns;
}

// A running engine knows its members; before it runs, the file does.
Status DatabaseFile::check_rule(const AckRule& rule) {
    if (!rule.waits()) return ok_status();
    if (sqlite3_libversion_number() < kOldestSqliteForWaiting) {
        return Error{Errc::invalid, "synchronous commits need SQLite 3.32 or newer; this is " +
                                        std::string(sqlite3_libversion())};
    }
    if (control && control->engine_state.load() == static_cast<uint32_t>(EngineState::running) &&
        why_impossible(rule, control->peers.load()).empty()) {
        return ok_status();
    }
    auto members = read_members(layout.members());
    if (!members.ok()) return std::move(members).error();
    const std::string why = why_impossible(rule, static_cast<uint32_t>(members->size()));
    if (!why.empty()) return Error{Errc::invalid, why};
    return ok_status();
}

bool DatabaseFile::engine_answers() const {
    if (!control) return false;
    const int64_t beat_ns = control->engine_beat_ns.load(std::memory_order_acquire);
    return beat_ns != 0 && boot_now().ns - beat_ns < kBeatFreshNs;
}

bool DatabaseFile::ensure_engine() {
    const int64_t now_ns = coarse_now_ns();
    engine_checked_ns = now_ns;
    starter.reap();
    const bool gone = control && engine_sign(*control) == EngineSign::gone;
    if (!gone && engine_lives(layout.ship_lock())) return true;
    int64_t& started_ns = engine_started_ns[engine_starts % engine_started_ns.size()];
    if (started_ns != 0 && now_ns - started_ns < kEngineStartsWithinNs) return false;
    if (engine_is_in_line(layout.ship_lock())) return true;
    started_ns = now_ns;
    ++engine_starts;
    if (auto started = starter.start(layout, settings.ship); !started.ok()) {
        engine_started_ns.fill(now_ns);
        // Told once, not once a second.
        if (last_error != started.error().message) log_line(started.error().message);
        last_error = started.error().message;
        return false;
    }
    last_error.clear();
    return true;
}

// The lock cannot tell here: a killed engine keeps it while one of its threads is inside an fsync,
// and the last commit of an application would take it for a living one. The bell cannot either: it
// wakes nobody in an engine that is at work, and says the same of one that was killed at work.
void DatabaseFile::engine_after_commit(bool bell_woke) {
    const bool gone = control && engine_sign(*control) == EngineSign::gone;
    if (!gone && bell_woke && coarse_now_ns() - engine_checked_ns < kEngineCheckEveryNs) return;
    ensure_engine();
}

void DatabaseFile::call_engine() {
    const bool heard = control->hears_chime.load(std::memory_order_acquire) != 0;
    if (heard && !chime.is_open()) {
        if (auto found = Chime::find(layout.chime()); found.ok()) chime = std::move(*found);
    }
    if (heard && chime.is_open()) {
        chime.ring();
    } else if (!control.ring(true)) {
        ensure_engine();
    }
}

Result<std::unique_ptr<DatabaseFile>> find_database(const std::string& path, const UriSource& uri) {
    auto file = std::make_unique<DatabaseFile>(path);
    auto node = read_node_file(file->layout.node());
    if (node.ok()) {
        file->node_role = node->role;
    } else if (node.error().code != Errc::not_found) {
        return std::move(node).error();
    }
    const auto replicas = uri("replicas");
    const char* from_environment = std::getenv("TANIST_REPLICAS");
    file->replicas_given =
        replicas.has_value() || (from_environment != nullptr && *from_environment != 0);
    if (file->node_role == Role::unknown && !file->replicas_given) {
        return std::unique_ptr<DatabaseFile>();
    }
    auto settings = read_settings(file->layout.settings());
    if (!settings.ok()) return std::move(settings).error();
    file->settings = std::move(*settings);
    TANIST_TRY(apply_environment(file->settings));
    if (replicas.has_value()) {
        TANIST_TRY(apply_setting(file->settings, "replicas", *replicas));
    }
    for (const char* name :
         {"ship", "ack", "commit_mode", "ack_timeout", "on_timeout", "max_lag"}) {
        if (const auto value = uri(name); value.has_value()) {
            TANIST_TRY(apply_setting(file->settings, name, *value));
        }
    }
    file->policy = file->settings.commit;
    return file;
}

Status activate_files(DatabaseFile& file) {
    if (file.active) return ok_status();
    if (file.node_role != Role::replica) {
        auto node = set_up_primary(file.layout);
        if (!node.ok()) return std::move(node).error();
        file.node_role = node->role;
        TANIST_TRY(add_given_replicas(file));
    }
    auto control = Control::open(file.layout.control(), true, file.node_role == Role::primary);
    if (control.ok()) {
        file.control = std::move(*control);
    } else {
        // The engine finds commits without being rung, only later; the application goes on.
        file.last_error = control.error().message;
        log_line(file.last_error);
    }
    file.elects = path_exists(file.layout.voters());
    file.active = true;
    if (file.node_role == Role::primary) file.ensure_engine();
    return ok_status();
}

Status activate(sqlite3* db, DatabaseFile& file) {
    if (!file.writable || file.active) return ok_status();
    if (file.node_role != Role::replica) {
        // Asked before the database is switched.
        TANIST_TRY(check_place(file.layout));
        TANIST_TRY(turn_to_wal(db, file));
    }
    return activate_files(file);
}

DatabaseFile* database_of(sqlite3* db, const char* schema) {
    DatabaseFile* file = nullptr;
    const int rc = sqlite3_file_control(db, schema, kFileControlDatabase, &file);
    return rc == SQLITE_OK ? file : nullptr;
}

}  // namespace tanist
