#include "replicator/node/wal_floor.h"

#include <optional>

namespace tanist {
namespace {

// The present one, the one before it, and any that is older than both.
constexpr int kWals = 3;

}  // namespace

WalFloor::WalFloor(Log& log) {
    const LogStat stat = log.stat();
    const std::unique_ptr<LogReader> reader = log.reader();
    present_ = previous_ = stat.first;
    std::optional<WalPoint> last;
    int wals = 0;
    const uint64_t end = stat.end.position.lsn.value;
    for (uint64_t back = 1; back <= end && end - back >= stat.first.value; back *= 2) {
        const Result<RecordHeader> record = reader->header_of(Lsn(end - back));
        if (!record) return;
        if (record->kind != RecordKind::commit) continue;
        const WalPoint& wal = record->wal;
        if (last && last->salt1 == wal.salt1 && last->salt2 == wal.salt2) continue;
        last = wal;
        if (++wals < kWals) continue;
        present_ = previous_ = record->lsn;
        return;
    }
}

void WalFloor::saw(const CapturedPoint& captured) {
    const bool same = salt1_ == captured.salt1 && salt2_ == captured.salt2;
    if (known_ && !same) {
        previous_ = present_;
        present_ = seen_;
    }
    known_ = true;
    salt1_ = captured.salt1;
    salt2_ = captured.salt2;
    seen_ = captured.position.lsn;
}

}  // namespace tanist
