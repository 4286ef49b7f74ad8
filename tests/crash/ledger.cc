#include "tests/crash/ledger.h"

namespace tanist::crash {
namespace {

using testing::Database;

constexpr int kItems = 12;

// FNV-1a, small enough that sums of it stay exact.
void digest(sqlite3_context* context, int, sqlite3_value** values) {
    const auto* bytes = static_cast<const uint8_t*>(sqlite3_value_blob(values[0]));
    const int count = sqlite3_value_bytes(values[0]);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < count; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    sqlite3_result_int64(context, static_cast<int64_t>(hash >> 24));
}

const char* const kDigest = "(SELECT ifnull(sum(digest(body)*(id%7+1)),0) FROM item)";

}  // namespace

std::string make_ledger(const std::string& path, int page_bytes) {
    Database db;
    int rc = db.open(path, {});
    if (rc == SQLITE_OK) rc = add_digest_function(db);
    const std::string sql =
        "PRAGMA page_size=" + std::to_string(page_bytes) +
        ";PRAGMA journal_mode=WAL;BEGIN;"
        "CREATE TABLE done(attempt INTEGER PRIMARY KEY);"
        "CREATE TABLE item(id INTEGER PRIMARY KEY, body BLOB);"
        "CREATE INDEX item_start ON item(substr(body,1,8));"
        "CREATE TABLE state(id INTEGER PRIMARY KEY CHECK(id=1), attempt, digest, done);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" +
        std::to_string(kItems) + ") INSERT INTO item SELECT i, randomblob(" +
        std::to_string(page_bytes * 6 / 10) + ") FROM n; INSERT INTO state VALUES(1,0," + kDigest +
        ",0);COMMIT";
    if (rc == SQLITE_OK) rc = db.run(sql);
    return rc == SQLITE_OK ? "" : "cannot make the database: " + db.trouble();
}

int add_digest_function(Database& db) {
    return sqlite3_create_function_v2(db.handle(), "digest", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                      nullptr, digest, nullptr, nullptr, nullptr);
}

int enter_attempt(Database& db, uint64_t attempt) {
    const std::string number = std::to_string(attempt);
    const int rc = db.run("INSERT INTO done VALUES(" + number + ")");
    if (rc != SQLITE_OK) return rc;
    return db.run("UPDATE state SET attempt=" + number + ", digest=" + kDigest +
                  ", done=(SELECT count(*) FROM done)");
}

Look look_at(Database& db) {
    Look look;
    int64_t attempt = 0;
    int64_t newest = 0;
    int64_t wrong = 0;
    int rc = db.run("BEGIN");
    if (rc == SQLITE_OK) rc = db.ask("SELECT attempt FROM state", attempt);
    if (rc == SQLITE_ROW) rc = db.ask("SELECT ifnull(max(attempt),0) FROM done", newest);
    if (rc == SQLITE_ROW) {
        rc = db.ask(std::string("SELECT (digest<>") + kDigest +
                        ") + 2*(done<>(SELECT count(*) FROM done)) FROM state",
                    wrong);
    }
    look.code = rc == SQLITE_ROW ? SQLITE_OK : rc;
    if (db.is_open() && !sqlite3_get_autocommit(db.handle())) db.run("COMMIT");
    look.attempt = static_cast<uint64_t>(attempt);
    if (look.code != SQLITE_OK) return look;
    if (newest != attempt) {
        look.violation = "the newest row of done is " + std::to_string(newest) +
                         ", the state says " + std::to_string(attempt);
    } else if (wrong != 0) {
        look.violation = std::string("at attempt ") + std::to_string(attempt) +
                         (wrong == 1 ? " the digest" : " the count") + " is wrong";
    }
    return look;
}

std::vector<uint64_t> committed(Database& db) {
    std::vector<uint64_t> attempts;
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db.handle(), "SELECT attempt FROM done ORDER BY attempt", -1, &statement,
                           nullptr) == SQLITE_OK) {
        while (sqlite3_step(statement) == SQLITE_ROW) {
            attempts.push_back(static_cast<uint64_t>(sqlite3_column_int64(statement, 0)));
        }
    }
    sqlite3_finalize(statement);
    return attempts;
}

}  // namespace tanist::crash
