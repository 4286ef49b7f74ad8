// Making Tanist known to the SQLite of this process, once per process and again harmlessly.
#pragma once

struct sqlite3_api_routines;

namespace tanist {

// Registers the VFS and what is done for every connection. An SQLite result code.
int start_in_process(const sqlite3_api_routines* api, bool make_default);
bool default_wanted();  // TANIST_DEFAULT_VFS=1

}  // namespace tanist
