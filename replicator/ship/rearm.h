// When waiting for acknowledgements begins again after it was given up: only once enough replicas
// have caught up, so that commits do not stop again at once. Pure.
#pragma once

#include <optional>

#include "replicator/base/clock.h"
#include "replicator/base/ids.h"

namespace tanist {

class Rearm {
  public:
    // `confirmed`: up to where the rule holds at this moment; `end`: where the log ends. True: they
    // hold what was the end of the log a moment ago. A log that grows all the time is never held
    // whole by anybody else.
    bool step(Lsn confirmed, Lsn end, Instant now) {
        if (target_ && confirmed >= *target_ && now - since_ <= kMoment) {
            target_.reset();
            return true;
        }
        if (!target_ || confirmed >= *target_) {
            target_ = end;
            since_ = now;
        }
        return false;
    }
    // Nothing is given up.
    void idle() { target_.reset(); }

  private:
    static constexpr Nanos kMoment = std::chrono::milliseconds(250);
    std::optional<Lsn> target_;
    Instant since_;
};

}  // namespace tanist
