// What `tanist diverged` reads: the directories that a node made of commits which a failover
// discarded (replicator/node/diverged_tail.h has their layout).
#pragma once

#include <string>
#include <vector>

#include "replicator/base/ids.h"
#include "replicator/base/result.h"
#include "replicator/control/layout.h"

namespace tanist {

struct DivergedFacts {
    std::string name;
    std::string common, end;  // positions
    bool common_proved = true;
    uint64_t commits = 0;
    uint64_t bytes = 0;
    int64_t saved_unix_ns = 0;
    std::string primary;
    uint64_t primary_epoch = 0;
};

Result<std::vector<DivergedFacts>> read_diverged(const Layout& layout);
// Writes commits and their page images, beside what the database has of those pages now, into a
// new SQLite database.
Status export_diverged(const Layout& layout, const DivergedFacts& facts, const std::string& out);

}  // namespace tanist
