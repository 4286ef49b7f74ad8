// What one connection's open main database knows: settings, role, control block, and the locks
// SQLite holds through it. One per sqlite3_file; SQLite never calls one file from two threads at
// once; nothing here is shared with another connection except the control block.
//
// Nothing here throws across the C boundary: callers in vfs.cc catch.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "extension/commit_wait.h"
#include "extension/engine_starter.h"
#include "extension/wal_gate.h"
#include "extension/write_version.h"
#include "replicator/base/event.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/control/settings.h"

struct sqlite3;
struct sqlite3_file;

namespace tanist {

struct DatabaseFile {
    explicit DatabaseFile(const std::string& path) : layout(path) {}

    Layout layout;
    Settings settings;
    bool replicas_given = false;  // by the URI or the environment, on this open
    bool writable = false;
    bool active = false;        // set up, control block mapped
    bool elects = false;        // its group elects its primary: no lease, no writes
    bool switching = false;     // a statement is turning the database to WAL just now...
    bool switch_began = false;  // ...and has the lock for it
    Role node_role = Role::unknown;
    Control control;
    WalGate gate;
    CommitPolicy policy;  // what this connection asks for, from the next transaction on
    CommitWait commits;
    WriteVersion write_version;
    sqlite3_file* wal = nullptr;  // the real -wal file while SQLite has it open through us
    Chime chime;
    EngineStarter starter;
    std::string last_error;
    std::string refusal;  // not "": the open is refused, and this says why

    // The role the gate obeys: the engine's word in the control block, else the node file's.
    Role role() const;
    // The questions of the gate: is this the primary, and does its lease, where there is one, last.
    bool role_allows_write() const;
    LeaseGate lease() const;
    // At the instant at which a commit is completed. Who began before a hand-over may end.
    bool may_commit() const;
    // invalid: the rule can never be met, with the reason.
    Status check_rule(const AckRule& rule);
    // Requires: a primary. Looks whether an engine lives, whatever its last beat says: it may have
    // been killed since. If none does, and none is in line to follow one that dies or drains,
    // starts one. True: one lives, or is about to.
    bool ensure_engine();
    // After each commit, whose committer may never come again: a word of shared memory says whether
    // an engine is at work. The rest of ensure_engine() only when it is time to look again or the
    // bell woke nobody.
    void engine_after_commit(bool bell_woke);
    // Requires: control. A commit is held back, alone under WRITE: the engine's ship thread
    // captures it itself. (Of many pipelined writers it would capture every one by itself.)
    void call_engine();
    // True while the engine beats. A stopped process lives but does not answer.
    bool engine_answers() const;

    int64_t engine_checked_ns = 0;  // coarse clock
    // When the last ones were started, the oldest at `engine_starts` modulo their number.
    std::array<int64_t, 3> engine_started_ns = {};
    size_t engine_starts = 0;
};

// sqlite3_database_file_object(), by which a -wal file finds its database, came with it.
constexpr int kOldestSqliteForWaiting = 3032000;

// The URI's parameter of a name, or nothing.
using UriSource = std::function<std::optional<std::string>(const std::string& name)>;

// Whether the database at `path` is to be replicated: it has a node file, or replicas are given.
// Null: pass through. Errors: a setting is wrong.
Result<std::unique_ptr<DatabaseFile>> find_database(const std::string& path, const UriSource& uri);

// Everything that the first use needs and that runs no SQL: directory, node file, members, control
// block, engine. Idempotent.
Status activate_files(DatabaseFile& file);
// The same, after the database was turned to WAL mode on `db`, its newly opened connection.
Status activate(sqlite3* db, DatabaseFile& file);

// The DatabaseFile under a connection's schema, or null.
DatabaseFile* database_of(sqlite3* db, const char* schema);

// A line for sqlite3_log.
void log_line(const std::string& sentence);

}  // namespace tanist
