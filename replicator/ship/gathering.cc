#include "replicator/ship/gathering.h"

#include <algorithm>

namespace tanist {
namespace {

// While no replica confirms anything, the last one takes in what follows.
constexpr size_t kBatchesMax = 64;

}  // namespace

void Gathering::shipped(uint32_t commits, Lsn through) {
    if (commits == shipped_) return;
    shipped_ = commits;
    if (on_their_way_.size() < kBatchesMax) {
        on_their_way_.push_back({through, commits});
    } else {
        on_their_way_.back() = {through, commits};
    }
    confirmed(confirmed_through_);
}

void Gathering::confirmed(Lsn through) {
    confirmed_through_ = std::max(confirmed_through_, through);
    while (!on_their_way_.empty() && on_their_way_.front().through <= confirmed_through_) {
        confirmed_ = on_their_way_.front().commits;
        on_their_way_.pop_front();
    }
}

uint32_t Gathering::complete_at() const {
    return shipped_ + std::max(uint32_t{1}, shipped_ - confirmed_);
}

}  // namespace tanist
