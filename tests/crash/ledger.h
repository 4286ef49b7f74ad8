// The database of the crash tests, and what is true of it in every committed state:
//   done    one row for each attempt that committed
//   item    bodies of about a page each
//   state   one row: the last attempt, a digest of item, the number of rows in done
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/process/database.h"

namespace tanist::crash {

// With a stock connection, in WAL mode. "" or what went wrong.
std::string make_ledger(const std::string& path, int page_bytes);
// SQL function digest(blob) -> integer.
int add_digest_function(testing::Database& db);

// Inside a transaction: changes what `attempt` is to change, and makes the state true again. The
// caller has begun, and commits.
int enter_attempt(testing::Database& db, uint64_t attempt);

struct Look {
    int code = 0;           // SQLite's result when it could not look
    std::string violation;  // "" when everything holds
    uint64_t attempt = 0;   // the last one in this state
};
// One look, in a read transaction of its own.
Look look_at(testing::Database& db);
// The attempts that committed, in order.
std::vector<uint64_t> committed(testing::Database& db);

}  // namespace tanist::crash
