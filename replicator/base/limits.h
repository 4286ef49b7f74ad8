// Every size, count and period of the project in one place, with the relations between them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tanist::limits {

using namespace std::chrono_literals;

// SQLite's own bounds (fileformat2.html, section 1.3).
constexpr uint32_t kPageBytesMin = 512;
constexpr uint32_t kPageBytesMax = 65536;

// Log.
constexpr uint64_t kSegmentBytes = 16u << 20;
constexpr uint64_t kLogBytesMax = 1u << 30;        // retention's hard bound unless set otherwise
constexpr uint64_t kRecordPagesMax = 0xfffffffeu;  // a WAL generation cannot hold more
constexpr size_t kWriteBufferBytes = 1u << 20;     // log writer: at most this much is held back

// Wire. A body is one ZeroMQ frame.
constexpr size_t kBodyBytesMax = 256u << 10;             // record and page chunks
constexpr size_t kControlBodyBytesMax = 64u << 10;       // every other message
constexpr size_t kFrameBytesMax = kBodyBytesMax + 4096;  // and page numbers, prefixes
constexpr uint64_t kCreditWindowBytes = 8u << 20;        // what a replica lets be in flight
constexpr int kSyncAsksInFlight = 4;                     // delta sync: outstanding page ranges
constexpr size_t kSyncAskPagesMax = 4096;
constexpr size_t kMembersMax = 64;

// Periods.
constexpr auto kHeartbeatEvery = 250ms;       // from the primary, when nothing else was sent
constexpr auto kHeartbeatIdleEvery = 1000ms;  // after kIdleAfter without a commit
constexpr auto kIdleAfter = 5s;
constexpr auto kPeerSilentAfter = 3500ms;  // then the session is over
constexpr auto kReconnectMin = 100ms;
constexpr auto kReconnectMax = 5000ms;
constexpr auto kEngineIdleExit = 10s;  // an engine started by the extension

static_assert(kPeerSilentAfter > 3 * kHeartbeatIdleEvery);
static_assert(kCreditWindowBytes >= 4 * kBodyBytesMax);
static_assert(kBodyBytesMax >= 2 * kPageBytesMax,
              "a chunk carries at least one page and its number");
static_assert(kSyncAskPagesMax * 16 + 64 <= kFrameBytesMax);
static_assert(kBodyBytesMax + kBodyBytesMax / kPageBytesMin * 4 + 64 <= kFrameBytesMax);

}  // namespace tanist::limits
