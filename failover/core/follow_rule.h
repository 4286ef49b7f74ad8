// What a replica does with records it is sent (rules A1 to A4), apart from how they travel. Pure.
//
//   A1  An epoch below the promise is refused; a higher one is adopted by its token first.
//   A2  Records continue the log at a point where (epoch, lsn, chain) agree. What conflicts behind
//       it is saved as a diverged tail, durably, then cut; never at or below the watermark.
//   A3  An ack leaves only while promised == epoch, asked at the instant it leaves
//   (Voter::may_ack). A4  received: in the log. durable: synced. applied: readable. Only what is at
//   or below the
//       watermark is applied.
#pragma once

#include <optional>
#include <span>

#include "replicator/base/ids.h"

namespace tanist::failover {

// The log as the rule sees it.
class LogIndex {
  public:
    virtual ~LogIndex() = default;
    virtual LogPoint end() const = 0;
    // The point at that LSN; the zero point at zero; nothing when it is not there.
    virtual std::optional<LogPoint> at(Lsn lsn) const = 0;
};

struct FollowDecision {
    enum class Kind {
        take,      // append records[skip...], after cutting the log behind `keep` if that is set
        gap,       // the log ends before `previous`: ask from `ask_after` on
        conflict,  // the log differs at `previous`: ask from `ask_after` on
        unsafe,    // a committed record would be cut: stop and raise an alarm (S8)
    };
    Kind kind = Kind::take;
    size_t skip = 0;          // records that are here already
    std::optional<Lsn> keep;  // take: save the records behind it as diverged, then cut them
    Lsn ask_after;
    Lsn matched;  // take: history up to here is the sender's
};

// How far a watermark forbids cutting. It was learned from the holder of `watermark.epoch`; a loss
// that an operator or the config accepted in a later epoch may have given those records up.
inline Lsn binding(Position watermark, Epoch loss_epoch) {
    return watermark.epoch < loss_epoch ? Lsn(0) : watermark.lsn;
}

// `previous` is the point before the first of `records`. `committed`: as binding() says.
// Requires: the sender's epoch was admitted (Voter::admit).
FollowDecision follow(const LogPoint& previous, std::span<const LogPoint> records,
                      const LogIndex& log, Lsn committed);

}  // namespace tanist::failover
