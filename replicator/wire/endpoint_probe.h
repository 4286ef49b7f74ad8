// A question to an endpoint without a word: whether anything listens there, and how far it is.
#pragma once

#include <string>

namespace tanist {

// A connection attempt that goes on in the background, and is given up with this. Whoever serves a
// Link greets first, so its first byte comes after one trip there and back. Host names are not
// looked up here: nothing is ever seen of them.
class EndpointProbe {
  public:
    enum class Seen {
        nothing,  // yet, or ever
        refused,  // its machine answered that nothing listens there
        greeted,  // the first byte is here
        dropped,  // taken, and closed without a word: a process that dies, or a door that bars us
    };
    explicit EndpointProbe(const std::string& endpoint);
    EndpointProbe(EndpointProbe&& other) noexcept;
    EndpointProbe& operator=(EndpointProbe&& other) noexcept;
    ~EndpointProbe();

    // Readable when look() may see something new; -1: it will not.
    int fd() const { return fd_; }
    Seen look();

  private:
    void close();

    int fd_ = -1;
    Seen seen_ = Seen::nothing;
};

// Whether an endpoint is known to serve nobody. False also when there is no answer within some
// milliseconds. A connection that is taken is closed at once.
bool refuses_connections(const std::string& endpoint);

}  // namespace tanist
