// Time. State machines are given `Instant now`; only adapters ask a clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace tanist {

using Nanos = std::chrono::nanoseconds;

// Nanoseconds of CLOCK_BOOTTIME: counts suspend, never steps, dies with the boot.
struct Instant {
    int64_t ns = 0;
    auto operator<=>(const Instant&) const = default;
    Instant operator+(Nanos d) const { return {ns + d.count()}; }
    Nanos operator-(Instant other) const { return Nanos(ns - other.ns); }
};

Instant boot_now();
// Wall clock, nanoseconds since 1970: information for people, never a reason to act.
int64_t unix_now_ns();

}  // namespace tanist
