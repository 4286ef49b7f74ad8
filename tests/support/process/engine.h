// Daemons as an operator meets them: where a replica listens, which engine serves a database at
// this moment, what it counted.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "tests/support/process/child.h"

namespace tanist::testing {

// From the control block, and only if that process really is a tanistd of this database: a pid may
// be old and belong to a stranger. 0: none.
pid_t find_engine(const std::string& database);

struct EngineTotals {
    uint64_t commits = 0;
    uint64_t bytes = 0;
    uint64_t rebases = 0;
    uint64_t lsn = 0;        // captured
    uint64_t log_first = 0;  // oldest record that the log still has
};
EngineTotals read_engine_totals(const std::string& database);

// From the ready line of a tanistd that `talks`; "" when none came.
std::string read_endpoint(Child& daemon, std::chrono::seconds patience);

// CPU time of all threads, in nanoseconds; 0 when the process is gone.
int64_t cpu_ns(pid_t pid);
// A "Name: 123 kB" entry of /proc/PID/status, in KiB, e.g. VmHWM.
int64_t status_kib(pid_t pid, const std::string& name);

}  // namespace tanist::testing
