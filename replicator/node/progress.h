// Progress of long work for the person at the terminal: a bar with rate and time left that redraws
// itself when stderr is a terminal, else a plain line now and then.
#pragma once

#include <cstdint>
#include <string>

#include "replicator/base/clock.h"

namespace tanist {

class Progress {
  public:
    void begin(const std::string& what);
    void update(uint64_t done_bytes, uint64_t total_bytes, uint64_t moved_bytes);
    void end(const std::string& how);

  private:
    std::string what_;
    Instant began_{0};
    Instant shown_{0};
    uint64_t moved_bytes_ = 0;
    bool running_ = false;
};

}  // namespace tanist
