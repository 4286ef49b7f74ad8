// A SQLite connection as an application would use it, for test programs: every call gives SQLite's
// own result code, because tests care which one it is.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tanist::testing {

struct OpenOptions {
    std::string parameters = {};  // URI query without '?', e.g. "vfs=tanist&mode=ro"
    std::string extension = {};   // loaded into this process first; "" none
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int busy_timeout_ms = 5000;
};

class Database {
  public:
    Database() = default;
    Database(Database&& other) noexcept;
    Database& operator=(Database&& other) noexcept;
    ~Database() { close(); }

    int open(const std::string& path, const OpenOptions& options);
    void close();
    // A close deletes the WAL otherwise, where it is the last: an engine that is dead then has to
    // report a gap.
    void keep_wal();
    bool is_open() const { return db_ != nullptr; }
    sqlite3* handle() const { return db_; }

    int run(const std::string& sql);
    // First column of the first row; `value` is untouched when there is none (SQLITE_DONE).
    int ask(const std::string& sql, int64_t& value);
    int ask(const std::string& sql, std::string& value);
    // One INSERT/UPDATE with one blob as ?1.
    int run_with_blob(const std::string& sql, const std::vector<uint8_t>& blob);
    // After an error: "database is locked (5, extended 261)".
    std::string trouble() const;
    int extended() const { return extended_; }

  private:
    int remember(int rc);
    sqlite3* db_ = nullptr;
    std::string trouble_;
    int extended_ = 0;
};

}  // namespace tanist::testing
