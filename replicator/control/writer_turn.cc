#include "replicator/control/writer_turn.h"

#include "replicator/base/event.h"
#include "replicator/base/random.h"

namespace tanist {
namespace {

// SQLite takes a READ lock anew when its snapshot has grown old meanwhile.
constexpr int kReadsBeforeWrite = 4;

}  // namespace

void WriterTurn::about_to_read(ControlTurn& turn, bool pipelined) {
    if (!writes_next_ || !pipelined || ours_) return;
    while (self_ == 0) self_ = static_cast<uint32_t>(random_u64());
    ours_ = enter(turn);
}

void WriterTurn::has_read(ControlTurn& turn) {
    if (!writes_next_ || ++reads_ < kReadsBeforeWrite) return;
    writes_next_ = false;
    leave(turn);
}

void WriterTurn::asked_to_write(ControlTurn& turn, bool got_it) {
    writes_next_ = true;
    reads_ = 0;
    if (!got_it) leave(turn);
}

void WriterTurn::has_written(ControlTurn& turn) {
    reads_ = 0;
    leave(turn);
}

bool WriterTurn::enter(ControlTurn& turn) const {
    const Instant begun = boot_now();
    while (true) {
        uint32_t holder = turn.holder.load(std::memory_order_acquire);
        const Instant now = boot_now();
        const Instant since{turn.since_ns.load(std::memory_order_relaxed)};
        if (holder == 0 || now - since > kLongest) {
            // First: whoever sees the holder must not take it for an old one.
            turn.since_ns.store(now.ns, std::memory_order_relaxed);
            if (!turn.holder.compare_exchange_strong(holder, self_)) continue;
            return true;
        }
        const Nanos left = kLongest - (now - begun);
        if (left <= Nanos(0)) return false;
        turn.waiters.fetch_add(1);
        futex_wait(&turn.holder, holder, left);
        turn.waiters.fetch_sub(1);
    }
}

// Who was passed over has nothing to give.
void WriterTurn::leave(ControlTurn& turn) {
    if (!ours_) return;
    ours_ = false;
    uint32_t self = self_;
    if (turn.holder.compare_exchange_strong(self, 0) && turn.waiters.load() != 0) {
        futex_wake_one(&turn.holder);
    }
}

}  // namespace tanist
