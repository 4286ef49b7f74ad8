// The writer's half of ControlPrepare (control_block.h): how a commit that is held back is posted,
// decided, and cleared away when its writer is gone. No lock, no clock, no wait: who calls holds
// SQLite's WRITE lock, waits between the calls, and does to the WAL what they say.
#pragma once

#include <cstdint>
#include <optional>

#include "replicator/control/control_block.h"

namespace tanist {

// Frames of the WAL whose last one has no header yet.
struct HeldFrames {
    uint32_t salt1 = 0, salt2 = 0;
    uint32_t first_frame = 0, last_frame = 0;
    uint32_t pgno = 0, db_pages = 0;  // what the header will say
    uint32_t page_bytes = 0;
    uint32_t change = 0;                      // iChange when it will be visible
    uint32_t checksum_a = 0, checksum_b = 0;  // zeros when SQLite sums up later
};

// Requires: the slot is settled. Returns the word of this attempt.
uint32_t post_commit(ControlPrepare& slot, const HeldFrames& frames);

// `phase`: granted or refused. False: somebody has refused it meanwhile.
bool decide_commit(ControlPrepare& slot, uint32_t word, PreparePhase phase);

// Of a granted attempt: it is visible...
void publish_commit(ControlPrepare& slot, uint32_t word);
// ...or could not be made visible, and its header is no longer in the WAL.
void withdraw_commit(ControlPrepare& slot, uint32_t word);

// Whether readers who see `now` do not see the commit that the slot speaks of. A recovery of the
// WAL counts iChange from 0 again, so the frames decide; but the salts of the first WAL that a
// database has are in the wal-index only when its first commit is.
bool is_invisible(const ControlPrepare& slot, const WalMoment& now);

// What whoever gets WRITE does about a commit whose writer is gone. `now`: what readers see, if the
// wal-index can be read.
enum class Leftover {
    nothing,                      // settled; or visible; or the engine's to end
    refuse,                       // nobody decided
    take_header_back_and_refuse,  // granted, not visible, but a recovery would find it
};
Leftover leftover_of(const ControlPrepare& slot, uint32_t word,
                     const std::optional<WalMoment>& now);
// After what `leftover` asks for was done to the WAL. A word that changed meanwhile stays.
void refuse_leftover(ControlPrepare& slot, uint32_t word);

}  // namespace tanist
