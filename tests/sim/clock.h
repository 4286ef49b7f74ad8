// A node's clock in virtual time: a rate that differs from real time by some parts per million, an
// offset of its own, and (VM pause) moments in which it stands still although the world goes on.
#pragma once

#include "replicator/base/clock.h"

namespace tanist::sim {

class SimClock {
  public:
    SimClock() = default;
    SimClock(int64_t local_ns, int64_t rate_ppm, int64_t real_ns)
        : real_(real_ns), local_(local_ns), ppm_(rate_ppm) {}
    Instant at(int64_t real_ns) const {
        if (frozen_) return Instant{local_};
        return Instant{local_ + scaled(real_ns - real_, 1'000'000 + ppm_, 1'000'000)};
    }
    // The first real moment at which the clock shows `local` or more.
    int64_t when(Instant local, int64_t now_ns) const {
        const int64_t ahead = local.ns - at(now_ns).ns;
        if (ahead <= 0) return now_ns;
        if (ahead > kFarNs) return now_ns + kFarNs;
        return now_ns + scaled(ahead, 1'000'000, 1'000'000 + ppm_) + 2;
    }
    void set_rate(int64_t ppm, int64_t real_ns) {
        local_ = at(real_ns).ns;
        real_ = real_ns;
        ppm_ = ppm;
    }
    void freeze(int64_t real_ns) {
        local_ = at(real_ns).ns;
        frozen_ = true;
    }
    void thaw(int64_t real_ns) {
        real_ = real_ns;
        frozen_ = false;
    }

  private:
    static constexpr int64_t kFarNs = 1'000'000'000'000'000;  // no run lasts so long
    static int64_t scaled(int64_t ns, int64_t by, int64_t over) {
        return ns / over * by + ns % over * by / over;
    }
    int64_t real_ = 0;
    int64_t local_ = 0;
    int64_t ppm_ = 0;
    bool frozen_ = false;
};

}  // namespace tanist::sim
