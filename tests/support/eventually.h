// Waiting for a fact of other processes, which nobody announces.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace tanist::testing {

// Whether `holds` becomes true. The patience only bounds a failing test: a loaded machine must not
// fail one.
inline bool eventually(const std::function<bool()>& holds,
                       std::chrono::seconds patience = std::chrono::seconds(60)) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

}  // namespace tanist::testing
