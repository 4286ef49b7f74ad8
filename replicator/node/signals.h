// Threads started while one of these lives take no signals: they belong to the host's own threads.
#pragma once

#include <memory>

namespace tanist {

class SignalsBlocked {
  public:
    SignalsBlocked();
    ~SignalsBlocked();
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    struct Saved;
    std::unique_ptr<Saved> saved_;
};

// In a forked child the descriptor is closed, so that a flock on it does not outlive its owner.
void close_in_forked_child(int fd);
void keep_in_forked_child(int fd);  // before it is closed here

}  // namespace tanist
