// Faults that the simulator plants in this very code, to show that it would notice them. In the
// product mutant() is a constant `false`, and nothing of this remains in the program; only the
// second build of the library that tests/sim links (TANIST_MUTATIONS) can switch one on.
#pragma once

#include <cstdint>

namespace tanist::failover {

// Names and meaning as in docs/failover.md, "What the simulator must notice".
enum class Mutation : uint8_t {
    none,
    no_log_check,          // a voter grants whatever its log says
    lsn_only,              // it compares LSNs without their epochs
    majority_only,         // a token needs no data grants
    ack_late,              // an ack leaves after a higher promise
    vote_amnesia,          // a restart forgets promise and vote
    reuse_lsn,             // the primary takes back a shipped record and uses its LSN again
    solo_degrade,          // a weaker policy is used before a majority stored it
    received_not_suspect,  // a reboot that lost unsynced records changes nothing
    no_barrier,            // records of older epochs commit by counting
    strengthen_early,      // a stronger policy is stored before it was proved
    inherit_policy,        // a degrade of an earlier epoch is used without storing it again
    no_margin,             // a voter's promise is as long as the lease
    forget_promise,        // a restarted voter grants at once
    response_time,         // the lease counts from the answer
    handover_no_release,   // a switchover certificate leaves before the holder stopped
};

#ifdef TANIST_MUTATIONS
void plant(Mutation mutation);  // for this thread, until the next call
bool mutant(Mutation mutation);
#else
constexpr bool mutant(Mutation) { return false; }
#endif

}  // namespace tanist::failover
