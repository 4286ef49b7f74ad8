#include <cstdlib>

#include "failover/findings.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {
namespace {

std::string say_version(int version) {
    return std::to_string(version / 1'000'000) + "." + std::to_string(version / 1000 % 1000) + "." +
           std::to_string(version % 1000);
}

struct Answer {
    int rc = SQLITE_OK;
    std::string text;
};

Answer ask(sqlite3* db, const char* sql) {
    const SqliteApi& api = linked_sqlite();
    Answer answer;
    sqlite3_stmt* statement = nullptr;
    answer.rc = api.prepare_v2(db, sql, -1, &statement, nullptr);
    if (answer.rc != SQLITE_OK) return answer;
    if (api.step(statement) == SQLITE_ROW) {
        const unsigned char* text = api.column_text(statement, 0);
        if (text != nullptr) answer.text = reinterpret_cast<const char*>(text);
    }
    answer.rc = api.finalize(statement);
    return answer;
}

void find_journal_mode(const std::string& db, const std::string& mode, Findings& findings) {
    if (mode == "wal") {
        findings.push_back({"journal mode", FindingLevel::ok, "WAL", ""});
    } else {
        findings.push_back({"journal mode", FindingLevel::fail,
                            "is " + mode + "; only a database in WAL mode can be replicated",
                            "tanist init " + db});
    }
}

void find_settings_of_database(sqlite3* db, Findings& findings) {
    const std::string page_bytes = ask(db, "PRAGMA page_size").text;
    findings.push_back({"page size", FindingLevel::ok, page_bytes + " bytes", ""});
    const std::string mode = ask(db, "PRAGMA auto_vacuum").text;
    const int vacuum = std::atoi(mode.c_str());
    if (vacuum == 1) {
        findings.push_back({"auto_vacuum", FindingLevel::warn,
                            "is FULL: each commit that frees pages moves others, and all of them "
                            "travel to the replicas",
                            "PRAGMA auto_vacuum = INCREMENTAL, if the traffic matters"});
    } else {
        findings.push_back(
            {"auto_vacuum", FindingLevel::ok, vacuum == 2 ? "INCREMENTAL" : "NONE", ""});
    }
    findings.push_back({"busy_timeout", FindingLevel::ok,
                        "belongs to each connection and cannot be seen from here; 2000 ms or more "
                        "lets an application wait out the engine's short locks",
                        ""});
}

}  // namespace

void find_sqlite_version(Findings& findings) {
    const int version = linked_sqlite().libversion_number();
    const std::string name = "this machine's libsqlite3 " + say_version(version);
    const std::string reset = wal_reset_bug(version);
    const std::string checksum = checksum_bug(version);
    if (!reset.empty()) {
        findings.push_back({"SQLite version", FindingLevel::warn, name + " " + reset,
                            "open the database only with the extension loaded, which prevents it, "
                            "or use SQLite 3.51.3 or later"});
    }
    if (!checksum.empty()) {
        findings.push_back({"SQLite version", FindingLevel::warn, name + " " + checksum,
                            "use SQLite 3.51.3 or later, or a cache_size larger than your "
                            "transactions"});
    }
    if (reset.empty() && checksum.empty()) {
        findings.push_back(
            {"SQLite version", FindingLevel::ok, name + " has no known WAL bug", ""});
    }
}

// Read-only: a read-only connection never checkpoints or deletes the WAL when it closes.
void find_database(const Layout& layout, Findings& findings) {
    const SqliteApi& api = linked_sqlite();
    sqlite3* db = nullptr;
    int rc = api.open_v2(layout.db.c_str(), &db, SQLITE_OPEN_READONLY, "unix");
    if (rc == SQLITE_OK) {
        api.busy_timeout(db, 1000);
        Answer read = ask(db, "SELECT count(*) FROM sqlite_master");
        rc = read.rc;
    }
    if (rc == SQLITE_OK) {
        findings.push_back({"locking mode", FindingLevel::ok, "nobody holds it EXCLUSIVE", ""});
        find_journal_mode(layout.db, ask(db, "PRAGMA journal_mode").text, findings);
        find_settings_of_database(db, findings);
    } else if ((rc & 0xff) == SQLITE_BUSY) {
        findings.push_back({"locking mode", FindingLevel::fail,
                            "another process holds the database for itself",
                            "take PRAGMA locking_mode=EXCLUSIVE out of the application"});
    } else {
        const std::string reason = db != nullptr ? api.errmsg(db) : "out of memory";
        findings.push_back({"database", FindingLevel::fail, "cannot be read: " + reason,
                            "check the path and its permissions; restore a backup if it is "
                            "damaged"});
    }
    api.close(db);
}

}  // namespace tanist
