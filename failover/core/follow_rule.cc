#include "failover/core/follow_rule.h"

namespace tanist::failover {

FollowDecision follow(const LogPoint& previous, std::span<const LogPoint> records,
                      const LogIndex& log, Lsn committed) {
    FollowDecision decision;
    const LogPoint end = log.end();
    if (previous.position.lsn > end.position.lsn) {
        decision.kind = FollowDecision::Kind::gap;
        decision.ask_after = end.position.lsn;
        return decision;
    }
    const std::optional<LogPoint> here = log.at(previous.position.lsn);
    if (here != previous) {
        // What is committed agrees with every later holder (S7), so the sender can go on there.
        const bool lost_commit = here && previous.position.lsn <= committed;
        decision.kind = lost_commit ? FollowDecision::Kind::unsafe : FollowDecision::Kind::conflict;
        decision.ask_after = committed;
        return decision;
    }
    decision.matched = previous.position.lsn;
    while (decision.skip < records.size()) {
        const LogPoint& record = records[decision.skip];
        if (record.position.lsn > end.position.lsn) break;
        if (log.at(record.position.lsn) != record) {
            decision.keep = Lsn(record.position.lsn.value - 1);
            // S8: nobody takes back what was committed.
            if (*decision.keep < committed) decision.kind = FollowDecision::Kind::unsafe;
            break;
        }
        ++decision.skip;
        decision.matched = record.position.lsn;
    }
    if (!records.empty()) decision.matched = records.back().position.lsn;
    return decision;
}

}  // namespace tanist::failover
