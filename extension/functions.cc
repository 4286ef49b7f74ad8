#include "extension/functions.h"

#include <new>
#include <optional>
#include <string>
#include <vector>

#include "extension/database_file.h"
#include "extension/host.h"
#include "extension/pragmas.h"
#include "extension/status.h"

namespace tanist {
namespace {

constexpr char kNotReplicated[] =
    "this database is not replicated; open it with vfs=tanist and run `tanist init` on it";

using Answer = Result<std::string> (*)(DatabaseFile&);

Result<std::string> position_answer(DatabaseFile& file) { return position_text(file); }
Result<std::string> role_answer(DatabaseFile& file) { return role_text(file); }
Result<std::string> primary_answer(DatabaseFile& file) { return primary_text(file); }
Result<std::string> status_answer(DatabaseFile& file) { return status_text(file); }

template <Answer kAnswer>
void scalar(sqlite3_context* context, int, sqlite3_value**) noexcept {
    try {
        DatabaseFile* file = database_of(sqlite3_context_db_handle(context), "main");
        if (file == nullptr) return sqlite3_result_error(context, kNotReplicated, -1);
        const auto answer = kAnswer(*file);
        if (!answer.ok()) return sqlite3_result_error(context, answer.error().message.c_str(), -1);
        sqlite3_result_text(context, answer->c_str(), -1, SQLITE_TRANSIENT);
    } catch (...) {
        sqlite3_result_error_nomem(context);
    }
}

// With one argument it sets; on the connection's main database.
template <const char* kName>
void setting(sqlite3_context* context, int count, sqlite3_value** values) noexcept {
    try {
        DatabaseFile* file = database_of(sqlite3_context_db_handle(context), "main");
        if (file == nullptr) return sqlite3_result_error(context, kNotReplicated, -1);
        const auto text_of = [](sqlite3_value* value) {
            const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
            return std::string(text != nullptr ? text : "");
        };
        std::optional<std::string> value;
        if (count > 0) value = text_of(values[0]);
        const auto answer = std::string(kName) == "wait" ? wait_position(*file, value.value_or(""))
                                                         : commit_setting(*file, kName, value);
        if (!answer.ok()) return sqlite3_result_error(context, answer.error().message.c_str(), -1);
        sqlite3_result_text(context, answer->c_str(), -1, SQLITE_TRANSIENT);
    } catch (...) {
        sqlite3_result_error_nomem(context);
    }
}
constexpr char kAck[] = "ack";
constexpr char kCommitMode[] = "commit_mode";
constexpr char kAckTimeout[] = "ack_timeout";
constexpr char kOnTimeout[] = "on_timeout";
constexpr char kWait[] = "wait";

// --- tanist_replicas: one row per replica, read when the scan begins.

constexpr char kColumns[] =
    "CREATE TABLE x(endpoint TEXT, state TEXT, reason TEXT, received INTEGER, durable INTEGER, "
    "applied INTEGER, lag_transactions INTEGER, lag_bytes INTEGER, lag_seconds REAL)";

struct Table {
    sqlite3_vtab base;
    sqlite3* db;
};
struct Cursor {
    sqlite3_vtab_cursor base;
    std::vector<ReplicaRow> rows;
    size_t at = 0;
};
Cursor* cursor_of(sqlite3_vtab_cursor* base) { return reinterpret_cast<Cursor*>(base); }

int table_connect(sqlite3* db, void*, int, const char* const*, sqlite3_vtab** out,
                  char**) noexcept {
    const int rc = sqlite3_declare_vtab(db, kColumns);
    if (rc != SQLITE_OK) return rc;
    auto* table = new (std::nothrow) Table{};
    if (table == nullptr) return SQLITE_NOMEM;
    table->db = db;
    *out = &table->base;
    return SQLITE_OK;
}
int table_disconnect(sqlite3_vtab* base) noexcept {
    delete reinterpret_cast<Table*>(base);
    return SQLITE_OK;
}
int table_best_index(sqlite3_vtab*, sqlite3_index_info* info) noexcept {
    info->estimatedCost = 10;
    return SQLITE_OK;
}
int table_open(sqlite3_vtab*, sqlite3_vtab_cursor** out) noexcept {
    auto* cursor = new (std::nothrow) Cursor{};
    if (cursor == nullptr) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}
int table_close(sqlite3_vtab_cursor* base) noexcept {
    delete cursor_of(base);
    return SQLITE_OK;
}
int table_filter(sqlite3_vtab_cursor* base, int, const char*, int, sqlite3_value**) noexcept {
    try {
        DatabaseFile* file = database_of(reinterpret_cast<Table*>(base->pVtab)->db, "main");
        cursor_of(base)->rows = file != nullptr ? replica_rows(*file) : std::vector<ReplicaRow>();
        cursor_of(base)->at = 0;
        return SQLITE_OK;
    } catch (...) {
        return SQLITE_NOMEM;
    }
}
int table_next(sqlite3_vtab_cursor* base) noexcept {
    ++cursor_of(base)->at;
    return SQLITE_OK;
}
int table_eof(sqlite3_vtab_cursor* base) noexcept {
    return cursor_of(base)->at >= cursor_of(base)->rows.size() ? 1 : 0;
}
void result_text(sqlite3_context* context, const std::string& text) {
    sqlite3_result_text(context, text.c_str(), -1, SQLITE_TRANSIENT);
}
int table_column(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) noexcept {
    const ReplicaRow& row = cursor_of(base)->rows[cursor_of(base)->at];
    const PeerReport& report = row.report;
    const auto integer = [&](uint64_t value) {
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(value));
    };
    switch (column) {
        case 0:
            result_text(context, report.endpoint);
            break;
        case 1:
            sqlite3_result_text(context, to_string(report.state), -1, SQLITE_STATIC);
            break;
        case 2:
            result_text(context, report.reason);
            break;
        case 3:
            integer(report.received.value);
            break;
        case 4:
            integer(report.durable.value);
            break;
        case 5:
            integer(report.applied.value);
            break;
        case 6:
            integer(row.lag_transactions);
            break;
        case 7:
            integer(report.lag_bytes);
            break;
        default:
            sqlite3_result_double(context, static_cast<double>(report.lag_ns) / 1e9);
            break;
    }
    return SQLITE_OK;
}
int table_rowid(sqlite3_vtab_cursor* base, sqlite3_int64* out) noexcept {
    *out = static_cast<sqlite3_int64>(cursor_of(base)->at);
    return SQLITE_OK;
}

// No xCreate: the table is there without CREATE VIRTUAL TABLE, and only so.
const sqlite3_module& replicas_module() {
    static const sqlite3_module module = [] {
        sqlite3_module m{};
        m.xConnect = table_connect;
        m.xDisconnect = table_disconnect;
        m.xBestIndex = table_best_index;
        m.xOpen = table_open;
        m.xClose = table_close;
        m.xFilter = table_filter;
        m.xNext = table_next;
        m.xEof = table_eof;
        m.xColumn = table_column;
        m.xRowid = table_rowid;
        return m;
    }();
    return module;
}

}  // namespace

int register_functions(sqlite3* db) {
    struct Function {
        const char* name;
        int arguments;
        void (*call)(sqlite3_context*, int, sqlite3_value**);
    };
    constexpr Function kFunctions[] = {{"tanist_position", 0, scalar<position_answer>},
                                       {"tanist_role", 0, scalar<role_answer>},
                                       {"tanist_primary", 0, scalar<primary_answer>},
                                       {"tanist_status", 0, scalar<status_answer>},
                                       {"tanist_ack", 0, setting<kAck>},
                                       {"tanist_ack", 1, setting<kAck>},
                                       {"tanist_commit_mode", 0, setting<kCommitMode>},
                                       {"tanist_commit_mode", 1, setting<kCommitMode>},
                                       {"tanist_ack_timeout", 0, setting<kAckTimeout>},
                                       {"tanist_ack_timeout", 1, setting<kAckTimeout>},
                                       {"tanist_on_timeout", 0, setting<kOnTimeout>},
                                       {"tanist_on_timeout", 1, setting<kOnTimeout>},
                                       {"tanist_wait", 1, setting<kWait>}};
    for (const Function& function : kFunctions) {
        const int rc = sqlite3_create_function(db, function.name, function.arguments, SQLITE_UTF8,
                                               nullptr, function.call, nullptr, nullptr);
        if (rc != SQLITE_OK) return rc;
    }
    return sqlite3_create_module(db, "tanist_replicas", &replicas_module(), nullptr);
}

}  // namespace tanist
