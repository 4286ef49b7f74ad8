#include "tests/support/process/database.h"

#include <utility>

namespace tanist::testing {

Database::Database(Database&& other) noexcept { *this = std::move(other); }

Database& Database::operator=(Database&& other) noexcept {
    if (this == &other) return *this;
    close();
    db_ = std::exchange(other.db_, nullptr);
    trouble_ = std::move(other.trouble_);
    extended_ = other.extended_;
    return *this;
}

int Database::remember(int rc) {
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) return rc;
    extended_ = db_ ? sqlite3_extended_errcode(db_) : rc;
    trouble_ = std::string(db_ ? sqlite3_errmsg(db_) : sqlite3_errstr(rc)) + " (" +
               std::to_string(rc & 0xff) + ", extended " + std::to_string(extended_) + ")";
    return rc & 0xff;
}

int Database::open(const std::string& path, const OpenOptions& options) {
    close();
    if (!options.extension.empty()) {
        // The VFS must exist before the database is opened, hence a connection of its own.
        int rc = sqlite3_open(":memory:", &db_);
        if (rc == SQLITE_OK) {
            sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, nullptr);
            char* error = nullptr;
            rc = sqlite3_load_extension(db_, options.extension.c_str(), nullptr, &error);
            if (rc != SQLITE_OK) trouble_ = error ? error : "load_extension failed";
            sqlite3_free(error);
        }
        sqlite3_close(std::exchange(db_, nullptr));
        if (rc != SQLITE_OK) return rc & 0xff;
    }
    const std::string uri =
        "file:" + path + (options.parameters.empty() ? "" : "?" + options.parameters);
    const int rc = sqlite3_open_v2(uri.c_str(), &db_, options.flags | SQLITE_OPEN_URI, nullptr);
    if (rc != SQLITE_OK) {
        const int code = remember(rc);
        close();
        return code;
    }
    return remember(sqlite3_busy_timeout(db_, options.busy_timeout_ms));
}

void Database::close() {
    if (db_) sqlite3_close_v2(std::exchange(db_, nullptr));
}

void Database::keep_wal() {
    int stays = 1;
    sqlite3_file_control(db_, "main", SQLITE_FCNTL_PERSIST_WAL, &stays);
}

int Database::run(const std::string& sql) {
    return remember(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr));
}

int Database::ask(const std::string& sql, int64_t& value) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) value = sqlite3_column_int64(statement, 0);
    rc = remember(rc);
    sqlite3_finalize(statement);
    return rc;
}

int Database::ask(const std::string& sql, std::string& value) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const unsigned char* text = sqlite3_column_text(statement, 0);
        value = text ? reinterpret_cast<const char*>(text) : "";
    }
    rc = remember(rc);
    sqlite3_finalize(statement);
    return rc;
}

int Database::run_with_blob(const std::string& sql, const std::vector<uint8_t>& blob) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
    if (rc == SQLITE_OK) {
        sqlite3_bind_blob64(statement, 1, blob.data(), blob.size(), SQLITE_STATIC);
        rc = sqlite3_step(statement);
    }
    rc = rc == SQLITE_DONE ? SQLITE_OK : remember(rc);
    sqlite3_finalize(statement);
    return rc;
}

std::string Database::trouble() const { return trouble_; }

}  // namespace tanist::testing
