// The engine that serves a database at this moment, found from outside.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace tanist::testing {

// From the control block, and only if that process really is a tanistd of this database: a pid may
// be old and belong to a stranger. 0: none.
pid_t find_engine(const std::string& database);

struct EngineTotals {
    uint64_t commits = 0;
    uint64_t bytes = 0;
    uint64_t rebases = 0;
};
EngineTotals read_engine_totals(const std::string& database);

}  // namespace tanist::testing
