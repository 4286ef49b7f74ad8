// SQL functions of the names of the PRAGMAs, and the table-valued tanist_replicas.
#pragma once

struct sqlite3;

namespace tanist {

// On one connection. An SQLite result code.
int register_functions(sqlite3* db);

}  // namespace tanist
