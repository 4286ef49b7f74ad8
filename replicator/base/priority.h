// How eagerly the scheduler runs a thread beside others that want the same processor.
#pragma once

namespace tanist {

// Steps of the system's own scale (nice), one about 1.25 times less processor time. What waits for
// a replica gives way to what the application waits for; docs/decisions/0007-who-gives-way.md.
constexpr int kShippingGivesWay = 5;
constexpr int kReplicaGivesWay = 10;

// Lowers the calling thread by `steps`, for good: without privileges there is no way back. Threads
// that it starts inherit it. Where the system refuses, nothing changes.
void give_way(int steps);

// For a thread that works in short pieces: asks the scheduler to let it interrupt a thread that has
// the processor for long when it wakes (Linux 6.12 and later; otherwise nothing changes).
void run_soon_after_waking();

}  // namespace tanist
