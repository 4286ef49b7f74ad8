// A reproducible source of choices: the same seed gives the same sequence on every machine, which
// the distributions of <random> do not promise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tanist::testing {

class Dice {
  public:
    explicit Dice(uint64_t seed) : state_(seed) {}
    // SplitMix64 (public domain algorithm by S. Vigna).
    uint64_t next() {
        state_ += 0x9e3779b97f4a7c15u;
        uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    // 0 .. sides-1
    uint64_t below(uint64_t sides) { return sides == 0 ? 0 : next() % sides; }
    int64_t between(int64_t low, int64_t high) {
        return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low + 1)));
    }
    bool chance(unsigned percent) { return below(100) < percent; }
    template <class T, size_t N>
    const T& pick(const T (&choices)[N]) {
        return choices[below(N)];
    }

  private:
    uint64_t state_;
};

}  // namespace tanist::testing
