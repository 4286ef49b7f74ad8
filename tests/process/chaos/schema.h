// The database of the chaos test and what is true of it in every committed state:
//   meter.ticks    grows by one with every writing transaction: time
//   ledger         the balances always add up to kLedgerSum
//   totals         holds count(*) of item, pair and page, and the bytes of big
//   item           two indexes; body_hash is the hash of body
//   big            blobs of up to several MiB; hash is their hash
//   writer.seq     per writer, its last commit
// Writers break each of these inside transactions and mend them before COMMIT, so a reader that
// sees part of a transaction, or two states mixed, finds at least one of them false.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/process/database.h"

namespace tanist::chaos {

constexpr int kAccounts = 64;
constexpr int64_t kLedgerSum = 1000 * kAccounts;

struct SchemaOptions {
    int page_bytes = 4096;
    int auto_vacuum = 0;
};

// Makes the database, in WAL mode, with a stock connection.
int make_schema(const std::string& path, const SchemaOptions& options, std::string& trouble);

// SQL function chaos_hash(blob) -> integer, on this connection.
int add_hash_function(testing::Database& db);

struct Look {
    int code = 0;           // SQLite's result when it could not look
    std::string violation;  // "" when everything holds
    int64_t ticks = 0;
};
// Inside an open read or write transaction of `db`. `deep` also hashes every blob and checks the
// indexes and the full-text index.
Look check_invariants(testing::Database& db, bool deep);

}  // namespace tanist::chaos
