#include "replicator/ship/lag.h"

#include <algorithm>

namespace tanist {
namespace {
constexpr size_t kSamplesMax = 256;
}

void LagHistory::note(Lsn end, uint64_t bytes, Instant now) {
    if (end < now_.end) samples_.clear();  // the log was reset
    if (end == now_.end && !samples_.empty()) return;
    now_ = {end, bytes, now};
    samples_.push_back(now_);
    if (samples_.size() > kSamplesMax) thin();
}

// Keeps the newer half as it is and every second of the older: precise where it matters, and
// bounded.
void LagHistory::thin() {
    std::deque<Sample> kept;
    for (size_t i = 0; i < samples_.size(); ++i) {
        if (i % 2 == 0 || i >= samples_.size() / 2) kept.push_back(samples_[i]);
    }
    samples_ = std::move(kept);
}

uint64_t LagHistory::lag_bytes(Lsn applied) const {
    if (samples_.empty() || applied >= now_.end) return 0;
    auto after = std::upper_bound(samples_.begin(), samples_.end(), applied,
                                  [](Lsn lsn, const Sample& sample) { return lsn < sample.end; });
    uint64_t reached = after == samples_.begin() ? after->bytes : std::prev(after)->bytes;
    return now_.bytes - std::min(reached, now_.bytes);
}

Nanos LagHistory::lag(Lsn applied, Instant now) const {
    if (samples_.empty() || applied >= now_.end) return Nanos(0);
    auto after = std::upper_bound(samples_.begin(), samples_.end(), applied,
                                  [](Lsn lsn, const Sample& sample) { return lsn < sample.end; });
    return std::max(Nanos(0), now - after->seen);
}

}  // namespace tanist
