// Finds the last record that our log and a primary's log have in common, by asking for the chain
// at one LSN after the other. Equal chains mean equal history up to there, so this is a binary
// search: about log2(records) questions, one when nothing diverged. Pure.
#pragma once

#include <optional>

#include "replicator/log/log.h"
#include "replicator/wire/message.h"

namespace tanist {

class HistorySearch {
  public:
    // Requires: base.position.lsn <= end.position.lsn. `base` is taken for common unless proved.
    HistorySearch(const LogPoint& base, const LogPoint& end);
    // The LSN to ask for; nothing: the search is over. The same until answer() is called.
    std::optional<Lsn> next() const;
    // `ours`: what our log has at that LSN; nothing when it cannot be read. Answers to other
    // questions are ignored.
    void answer(const History& theirs, const std::optional<LogPoint>& ours);
    // After the end: the last common point, and whether a chain proved it.
    const LogPoint& common() const { return common_; }
    bool proved() const { return proved_; }
    bool nothing_diverged() const { return common_ == end_; }

  private:
    LogPoint common_;  // the highest point known to be common, or the base
    LogPoint end_;
    Lsn different_;  // lowest LSN known not to be common; the one after the end at first
    bool proved_ = false;
};

}  // namespace tanist
