// Commits that a failover discarded, kept for people: <db>-tanist/diverged/<epoch>-<lsn>/, named
// after the last of them, with
//   facts   text (TOML): the fields below
//   log/    the records, in the format of the replication log; `tanist log dump` reads it
// A directory without `facts` is one whose saving was cut short; it is written anew.
#pragma once

#include <string>
#include <vector>

#include "replicator/control/layout.h"
#include "replicator/control/settings.h"
#include "replicator/log/log.h"

namespace tanist {

struct DivergedTail {
    std::string name;  // of the directory
    LogPoint common;   // the last record that the new primary has as well
    bool proved = true;
    LogPoint end;
    uint64_t commits = 0;
    uint64_t bytes = 0;
    int64_t saved_unix_ns = 0;
    Epoch primary_epoch;
    std::string primary;
};

// Copies the records of `log` after `tail.common`; fills name, end, commits, bytes and time.
// Durable when it returns. An equal tail that was saved already is left alone.
Result<DivergedTail> save_diverged_tail(const Layout& layout, const Settings& settings, Log& log,
                                        DivergedTail tail);
std::string facts_text(const DivergedTail& tail);

}  // namespace tanist
