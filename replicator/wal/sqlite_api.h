// The functions of SQLite that Tanist calls, as a table: filled from libsqlite3 in the daemon
// (sqlite_linked.cc) and from the host's own sqlite3_api in an application, where a second SQLite
// in the process would break POSIX locks. Nothing else in replicator/ calls SQLite by name.
#pragma once

#include <sqlite3.h>

namespace tanist {

struct SqliteApi {
    decltype(&sqlite3_open_v2) open_v2;
    decltype(&sqlite3_close) close;
    decltype(&sqlite3_exec) exec;
    decltype(&sqlite3_free) free;
    decltype(&sqlite3_errmsg) errmsg;
    decltype(&sqlite3_extended_errcode) extended_errcode;
    decltype(&sqlite3_prepare_v2) prepare_v2;
    decltype(&sqlite3_step) step;
    decltype(&sqlite3_finalize) finalize;
    decltype(&sqlite3_column_int64) column_int64;
    decltype(&sqlite3_column_text) column_text;
    decltype(&sqlite3_busy_timeout) busy_timeout;
    decltype(&sqlite3_file_control) file_control;
    decltype(&sqlite3_wal_checkpoint_v2) wal_checkpoint_v2;
    decltype(&sqlite3_libversion_number) libversion_number;
};

const SqliteApi& linked_sqlite();  // libsqlite3; only for programs that link it

}  // namespace tanist
