#include "tests/process/chaos/workload.h"

#include <initializer_list>
#include <vector>

namespace tanist::chaos {
namespace {

// What an application must be ready for under any SQLite: locked, or its snapshot is old.
bool is_refusal(int rc) { return rc == SQLITE_BUSY || rc == SQLITE_LOCKED; }

}  // namespace

bool Workload::step() {
    const auto roll = dice_.below(1000);
    if (options_.maintenance && roll < 30) return maintain();
    if (roll < 80) return rolled_back();
    if (roll < 130) return transaction(&Workload::savepoint_rolled_back);
    if (roll < 150) return transaction(&Workload::many_changes);
    return transaction(&Workload::one_change);
}

bool Workload::judge(int rc, const char* doing) {
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) return true;
    WriterSlot& slot = board_.writers[static_cast<size_t>(options_.writer)];
    if (is_refusal(rc)) {
        ++slot.refused;
        return true;
    }
    ++slot.errors;
    trouble_ = std::string(doing) + ": " + db_.trouble();
    return false;
}

bool Workload::transaction(Change change) {
    WriterSlot& slot = board_.writers[static_cast<size_t>(options_.writer)];
    // A deferred transaction that reads first may find its snapshot old: BUSY_SNAPSHOT.
    int rc = dice_.chance(80) ? db_.run("BEGIN IMMEDIATE")
                              : sequence({"BEGIN", "SELECT count(*) FROM totals"});
    if (rc == SQLITE_OK) {
        rc = sequence(
            {"UPDATE meter SET ticks=ticks+1", "INSERT INTO writer VALUES(" + n(options_.writer) +
                                                   ",1) ON CONFLICT(id) DO UPDATE SET seq=seq+1"});
    }
    int64_t sequence_number = 0;
    if (rc == SQLITE_OK) rc = (this->*change)();
    if (rc == SQLITE_OK) {
        rc = db_.ask("SELECT seq FROM writer WHERE id=" + n(options_.writer), sequence_number);
        if (rc == SQLITE_ROW) rc = SQLITE_OK;
    }
    if (rc == SQLITE_OK) rc = db_.run("COMMIT");
    if (rc == SQLITE_OK) {
        slot.promised = sequence_number;
        ++slot.commits;
        return true;
    }
    const bool fine = judge(rc, "writing transaction");
    if (!sqlite3_get_autocommit(db_.handle())) db_.run("ROLLBACK");
    return fine;
}

int Workload::sequence(std::initializer_list<std::string> statements) {
    for (const std::string& sql : statements) {
        const int rc = db_.run(sql);
        if (rc != SQLITE_OK) return rc;
    }
    return SQLITE_OK;
}

int Workload::one_change() {
    static constexpr Change kChanges[] = {
        &Workload::transfer,     &Workload::transfer,     &Workload::transfer,
        &Workload::insert_items, &Workload::insert_items, &Workload::update_items,
        &Workload::update_items, &Workload::delete_items, &Workload::put_pairs,
        &Workload::put_pages,    &Workload::drop_pages,   &Workload::put_blob,
        &Workload::drop_blob,
    };
    if (options_.maintenance && dice_.chance(1)) return change_schema();
    return (this->*dice_.pick(kChanges))();
}

int Workload::transfer() {
    const int64_t amount = dice_.between(1, 500);
    const auto account = [&] { return n(dice_.between(1, kAccounts)); };
    return sequence(
        {"UPDATE ledger SET balance=balance-" + n(amount) + " WHERE account=" + account(),
         "UPDATE ledger SET balance=balance+" + n(amount) + " WHERE account=" + account()});
}

int Workload::insert_items() {
    const int64_t count = dice_.between(1, 40);
    const int64_t bytes = dice_.chance(5) ? 20'000 : dice_.between(0, 1500);
    return sequence({"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" +
                         n(count) + ") INSERT INTO item(kind,body) SELECT i%7, randomblob(" +
                         n(bytes) + ") FROM n",
                     "UPDATE item SET body_hash=chaos_hash(body) WHERE body_hash IS NULL",
                     "UPDATE totals SET n=n+" + n(count) + " WHERE name='item'",
                     // Keep the size bounded: the oldest go.
                     "DELETE FROM item WHERE id IN (SELECT id FROM item ORDER BY id LIMIT max(0,"
                     "(SELECT n FROM totals WHERE name='item')-" +
                         n(options_.items_max) + "))",
                     "UPDATE totals SET n=n-changes() WHERE name='item'"});
}

int Workload::update_items() {
    const int64_t bytes = dice_.between(0, 2000);
    return sequence({"UPDATE item SET body=randomblob(" + n(bytes) +
                         "), kind=kind+1 WHERE id%97=" + n(dice_.between(0, 96)),
                     "UPDATE item SET body_hash=chaos_hash(body) WHERE chaos_hash(body)"
                     " IS NOT body_hash"});
}

int Workload::delete_items() {
    return sequence({"DELETE FROM item WHERE id%53=" + n(dice_.between(0, 52)),
                     "UPDATE totals SET n=n-changes() WHERE name='item'"});
}

int Workload::put_pairs() {
    const int64_t number = dice_.between(1, 3000);
    return sequence(
        {"DELETE FROM pair WHERE number BETWEEN " + n(number) + " AND " + n(number + 20),
         "UPDATE totals SET n=n-changes() WHERE name='pair'",
         "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<9) "
         "INSERT OR IGNORE INTO pair SELECT 'name'||(i%3)," +
             n(number) + "+i, randomblob(60) FROM n",
         "UPDATE totals SET n=n+changes() WHERE name='pair'"});
}

int Workload::put_pages() {
    return sequence(
        {"INSERT INTO page(title,body) SELECT hex(randomblob(4)), 'everywhere '||"
         "hex(randomblob(3))||' '||hex(randomblob(2))||' '||hex(randomblob(2))",
         "UPDATE totals SET n=n+1 WHERE name='page'"});
}

int Workload::drop_pages() {
    return sequence(
        {"DELETE FROM page WHERE rowid IN (SELECT rowid FROM page ORDER BY rowid LIMIT "
         "(SELECT n/20 FROM totals WHERE name='page'))",
         "UPDATE totals SET n=(SELECT count(*) FROM page) WHERE name='page'"});
}

int Workload::put_blob() {
    const int64_t bytes =
        dice_.chance(20) ? options_.blob_bytes_max : dice_.between(1, options_.blob_bytes_max / 16);
    std::vector<uint8_t> body(static_cast<size_t>(bytes));
    for (size_t i = 0; i + 8 <= body.size(); i += 8) {
        const uint64_t word = dice_.next();
        for (size_t b = 0; b < 8; ++b) body[i + b] = static_cast<uint8_t>(word >> (8 * b));
    }
    const int rc = db_.run_with_blob(
        "INSERT OR REPLACE INTO big VALUES(" + n(dice_.between(1, 12)) + ",?1,chaos_hash(?1))",
        body);
    if (rc != SQLITE_OK) return rc;
    return db_.run(
        "UPDATE totals SET n=(SELECT ifnull(sum(length(body)),0) FROM big)"
        " WHERE name='big'");
}

int Workload::drop_blob() {
    return sequence({"DELETE FROM big WHERE id=" + n(dice_.between(1, 12)),
                     "UPDATE totals SET n=(SELECT ifnull(sum(length(body)),0) FROM big)"
                     " WHERE name='big'"});
}

int Workload::change_schema() {
    const std::string name = "extra" + n(dice_.between(1, 3));
    if (dice_.chance(50)) return db_.run("DROP TABLE IF EXISTS " + name);
    return sequence({"CREATE TABLE IF NOT EXISTS " + name + "(a,b)",
                     "CREATE INDEX IF NOT EXISTS " + name + "_a ON " + name + "(a)",
                     "INSERT INTO " + name + " SELECT id, body FROM item LIMIT 50"});
}

// Touches most pages several times: with a small cache they spill, are read back, dirtied again
// and written in place, so the commit has to rewrite frame checksums.
int Workload::many_changes() {
    for (int64_t i = dice_.between(2, 12); i > 0; --i) {
        const int rc = one_change();
        if (rc != SQLITE_OK) return rc;
    }
    return sequence({"UPDATE item SET kind=kind+1", "UPDATE item SET kind=(kind+7)%100"});
}

// Leaves every invariant false; the caller takes it back.
int Workload::scramble() {
    const int rc = sequence({"UPDATE ledger SET balance=balance+1", "DELETE FROM item WHERE id%3=0",
                             "UPDATE totals SET n=n+1000", "UPDATE meter SET ticks=ticks+1000000",
                             "UPDATE pair SET value=randomblob(30) WHERE number%5=0"});
    return rc != SQLITE_OK ? rc : many_changes();
}

int Workload::savepoint_rolled_back() {
    int rc = one_change();
    if (rc == SQLITE_OK) rc = db_.run("SAVEPOINT inner");
    if (rc == SQLITE_OK) {
        rc = options_.spilled_savepoints ? scramble()
                                         : db_.run("UPDATE ledger SET balance=balance+1");
    }
    if (rc == SQLITE_OK) rc = sequence({"ROLLBACK TO inner", "RELEASE inner"});
    return rc == SQLITE_OK && dice_.chance(50) ? one_change() : rc;
}

bool Workload::rolled_back() {
    int rc = db_.run("BEGIN IMMEDIATE");
    if (rc == SQLITE_OK) rc = scramble();
    const bool fine = judge(rc, "transaction that is rolled back");
    if (!sqlite3_get_autocommit(db_.handle())) {
        return judge(db_.run("ROLLBACK"), "ROLLBACK") && fine;
    }
    return fine;
}

bool Workload::outside(const std::string& sql) { return judge(db_.run(sql), sql.c_str()); }

bool Workload::maintain() {
    static const char* const kStatements[] = {
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(FULL)",
        "PRAGMA wal_checkpoint(RESTART)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "VACUUM",
        "PRAGMA incremental_vacuum(20)",
        "PRAGMA incremental_vacuum",
        "PRAGMA journal_size_limit=100000",
        "PRAGMA journal_size_limit=-1",
        "PRAGMA optimize",
    };
    return outside(dice_.pick(kStatements));
}

}  // namespace tanist::chaos
