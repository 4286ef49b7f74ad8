// A stock SQLite connection for tests: what an application or a reader would do.
#pragma once

#include <sqlite3.h>

#include <stdexcept>
#include <string>

namespace tanist {

class StockSqlite {
  public:
    explicit StockSqlite(const std::string& path) {
        if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) throw std::runtime_error("open " + path);
        sqlite3_busy_timeout(db_, 5000);
    }
    ~StockSqlite() { sqlite3_close(db_); }
    StockSqlite(const StockSqlite&) = delete;
    StockSqlite& operator=(const StockSqlite&) = delete;

    int run(const std::string& sql) {
        return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
    }
    // Throws unless SQLite says OK.
    void must(const std::string& sql) {
        if (run(sql) != SQLITE_OK) throw std::runtime_error(sql + ": " + sqlite3_errmsg(db_));
    }
    // First column of the first row, "" when there is none; "error: ..." when it fails.
    std::string ask(const std::string& sql) {
        sqlite3_stmt* statement = nullptr;
        std::string answer;
        if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW) {
            const unsigned char* text = sqlite3_column_text(statement, 0);
            if (text != nullptr) answer = reinterpret_cast<const char*>(text);
        }
        if (sqlite3_finalize(statement) != SQLITE_OK || sqlite3_errcode(db_) % 256 > 0) {
            if (sqlite3_errcode(db_) != SQLITE_ROW && sqlite3_errcode(db_) != SQLITE_DONE) {
                return std::string("error: ") + sqlite3_errmsg(db_);
            }
        }
        return answer;
    }
    sqlite3* connection() { return db_; }

  private:
    sqlite3* db_ = nullptr;
};

}  // namespace tanist
