// What a session's primary may send. Bytes of bodies count from the session's start; credit comes
// back when the log has taken them, so that the queue before the log is bounded. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

#include "replicator/base/limits.h"

namespace tanist {

class CreditWindow {
  public:
    // Bytes of the body at hand went towards the log.
    void part(uint64_t bytes) { queued_ += bytes; }
    // That body is done: it is given back when the log has taken all its parts.
    void accepted(uint64_t body_bytes) {
        chunks_.push_back({queued_, body_bytes});
        taken_to(taken_);
    }
    // A chunk of which nothing is kept.
    void discarded(uint64_t body_bytes) { consumed_ += body_bytes; }
    // The log took everything up to this value of queued().
    void taken_to(uint64_t queued) {
        taken_ = std::min(std::max(taken_, queued), queued_);
        while (!chunks_.empty() && chunks_.front().queued <= taken_) {
            consumed_ += chunks_.front().body_bytes;
            chunks_.pop_front();
        }
    }
    void taken(uint64_t part_bytes) { taken_to(taken_ + part_bytes); }
    uint64_t queued() const { return queued_; }
    uint64_t consumed() const { return consumed_; }
    uint64_t granted() const { return consumed_ + limits::kCreditWindowBytes; }

  private:
    struct Chunk {
        uint64_t queued;  // the running count at its end
        uint64_t body_bytes;
    };
    std::deque<Chunk> chunks_;
    uint64_t queued_ = 0;
    uint64_t taken_ = 0;
    uint64_t consumed_ = 0;
};

}  // namespace tanist
