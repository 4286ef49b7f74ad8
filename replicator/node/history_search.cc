#include "replicator/node/history_search.h"

namespace tanist {

HistorySearch::HistorySearch(const LogPoint& base, const LogPoint& end)
    : common_(base), end_(end), different_(end.position.lsn.next()) {
    // Before the first record everybody's history is the same.
    proved_ = base.position.lsn.value == 0;
}

std::optional<Lsn> HistorySearch::next() const {
    const uint64_t low = common_.position.lsn.value;
    const uint64_t high = different_.value;
    if (low + 1 >= high) return std::nullopt;
    // The end first: that is the whole search when nothing diverged.
    if (different_ == end_.position.lsn.next()) return end_.position.lsn;
    return Lsn(low + (high - low) / 2);
}

void HistorySearch::answer(const History& theirs, const std::optional<LogPoint>& ours) {
    if (next() != theirs.asked) return;
    const bool same =
        theirs.known && ours && ours->position == theirs.position && ours->chain == theirs.chain;
    if (same) {
        common_ = *ours;
        proved_ = true;
    } else {
        different_ = theirs.asked;
    }
}

}  // namespace tanist
