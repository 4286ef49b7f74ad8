#include "tests/process/chaos/schema.h"

#include <utility>
#include <vector>

namespace tanist::chaos {
namespace {

using testing::Database;

// FNV-1a over the bytes, kept positive so that SQL prints it plainly.
void hash_blob(sqlite3_context* context, int, sqlite3_value** values) {
    const auto* bytes = static_cast<const uint8_t*>(sqlite3_value_blob(values[0]));
    const int count = sqlite3_value_bytes(values[0]);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < count; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    sqlite3_result_int64(context, static_cast<int64_t>(hash >> 1));
}

const char* const kTables = R"sql(
BEGIN;
CREATE TABLE meter(id INTEGER PRIMARY KEY CHECK(id=1), ticks INTEGER NOT NULL);
INSERT INTO meter VALUES(1,0);
CREATE TABLE ledger(account INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE totals(name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO totals VALUES('item',0),('pair',0),('page',0),('big',0);
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, body BLOB, body_hash INTEGER);
CREATE INDEX item_kind ON item(kind, body_hash);
CREATE UNIQUE INDEX item_hash ON item(body_hash, id);
CREATE TABLE pair(name TEXT, number INTEGER, value BLOB, PRIMARY KEY(name, number)) WITHOUT ROWID;
CREATE INDEX pair_number ON pair(number);
CREATE VIRTUAL TABLE page USING fts5(title, body);
CREATE TABLE big(id INTEGER PRIMARY KEY, body BLOB NOT NULL, hash INTEGER NOT NULL);
CREATE TABLE writer(id INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE marker(id INTEGER PRIMARY KEY, token TEXT NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<64)
INSERT INTO ledger SELECT i, 1000 FROM n;
COMMIT;
)sql";

// A query that must give one number.
struct Fact {
    const char* sentence;
    const char* sql;
    int64_t expected;
};

const Fact kFacts[] = {
    {"the ledger adds up", "SELECT sum(balance) FROM ledger", kLedgerSum},
    {"items are counted",
     "SELECT (SELECT count(*) FROM item)-(SELECT n FROM totals WHERE name='item')", 0},
    {"pairs are counted",
     "SELECT (SELECT count(*) FROM pair)-(SELECT n FROM totals WHERE name='pair')", 0},
    {"pages are counted",
     "SELECT (SELECT count(*) FROM page)-(SELECT n FROM totals WHERE name='page')", 0},
    {"blob bytes are counted",
     "SELECT (SELECT ifnull(sum(length(body)),0) FROM big)-"
     "(SELECT n FROM totals WHERE name='big')",
     0},
    {"an index and its table hold the same",
     "SELECT (SELECT count(*) FROM item INDEXED BY item_kind WHERE kind>=0)-"
     "(SELECT count(*) FROM item NOT INDEXED WHERE kind>=0)",
     0},
};

const Fact kDeepFacts[] = {
    {"item bodies have their hash",
     "SELECT count(*) FROM item WHERE chaos_hash(body) IS NOT body_hash", 0},
    {"blobs have their hash", "SELECT count(*) FROM big WHERE chaos_hash(body) IS NOT hash", 0},
    {"the full-text index finds every page",
     "SELECT (SELECT count(*) FROM page WHERE page MATCH 'everywhere')-"
     "(SELECT n FROM totals WHERE name='page')",
     0},
};

void check(Database& db, const Fact& fact, Look& look) {
    if (look.code != 0 || !look.violation.empty()) return;
    int64_t value = 0;
    const int rc = db.ask(fact.sql, value);
    if (rc != SQLITE_ROW) {
        look.code = rc;
    } else if (value != fact.expected) {
        look.violation = std::string("not true that ") + fact.sentence + ": " +
                         std::to_string(value) + " instead of " + std::to_string(fact.expected);
    }
}

}  // namespace

int add_hash_function(Database& db) {
    return sqlite3_create_function(db.handle(), "chaos_hash", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                   nullptr, hash_blob, nullptr, nullptr);
}

int make_schema(const std::string& path, const SchemaOptions& options, std::string& trouble) {
    Database db;
    int rc = db.open(path, {});
    const std::string first = "PRAGMA page_size=" + std::to_string(options.page_bytes) +
                              ";PRAGMA auto_vacuum=" + std::to_string(options.auto_vacuum) +
                              ";PRAGMA journal_mode=WAL;";
    if (rc == SQLITE_OK) rc = db.run(first);
    if (rc == SQLITE_OK) rc = db.run(kTables);
    trouble = db.trouble();
    return rc;
}

Look check_invariants(Database& db, bool deep) {
    Look look;
    const int rc = db.ask("SELECT ticks FROM meter", look.ticks);
    if (rc != SQLITE_ROW) look.code = rc;
    for (const Fact& fact : kFacts) check(db, fact, look);
    if (deep) {
        for (const Fact& fact : kDeepFacts) check(db, fact, look);
    }
    // Repeatable: nothing moved under this transaction.
    int64_t again = look.ticks;
    if (look.code == 0 && db.ask("SELECT ticks FROM meter", again) == SQLITE_ROW &&
        again != look.ticks) {
        look.violation = "time moved inside one read transaction";
    }
    return look;
}

}  // namespace tanist::chaos
