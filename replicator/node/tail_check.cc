#include "replicator/node/tail_check.h"

namespace tanist {

bool TailCheck::begin(const ReceiverView& view, Log& log) {
    view_ = view;
    search_.reset();
    const LogStat stat = log.stat();
    waiting_ = view.end.position.lsn > stat.end.position.lsn;
    if (waiting_) return false;
    // Records of the primary's own epoch came from it, and so did everything before them.
    const bool nothing_held = stat.end.position.lsn <= stat.base.position.lsn;
    if (!nothing_held && stat.end.position.epoch < view.epoch) search_.emplace(stat.base, stat.end);
    return true;
}

bool TailCheck::answered(const History& theirs, Log& log) {
    if (!search_ || search_->next() != theirs.asked) return false;
    std::optional<LogPoint> ours;
    if (auto header = log.reader()->header_of(theirs.asked)) {
        ours = LogPoint{header->position(), header->chain};
    }
    search_->answer(theirs, ours);
    return true;
}

std::optional<Lsn> TailCheck::question() const { return search_ ? search_->next() : std::nullopt; }

std::optional<Divergence> TailCheck::divergence() const {
    if (!search_ || search_->next() || search_->nothing_diverged()) return std::nullopt;
    return Divergence{search_->common(), search_->proved(), view_.epoch, view_.primary_name};
}

}  // namespace tanist
