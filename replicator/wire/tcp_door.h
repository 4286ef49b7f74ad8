// The listening TCP socket of a secured endpoint, kept in our own hands so that strangers cannot
// use up the process's descriptors: libzmq accepts whatever comes and spins when there are none
// left. Connections that say nothing are accepted some seconds later only (TCP_DEFER_ACCEPT).
//
// Two bounds, each kept by the kernel, which drops what is new before it costs anything; what is
// there is not touched. An address that holds more than a quarter of what the door may hold is
// barred until it holds fewer, and the others are let in meanwhile. When half of the descriptors
// that the process may have are in use, nobody is let in until old connections have gone. What was
// on its way when that began, at most the backlog and what came before we woke, still gets in.
//
// Thread rule: one thread; the socket itself is shared with libzmq's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "replicator/base/clock.h"
#include "replicator/wire/crowd.h"

namespace tanist {

class TcpDoor {
  public:
    // Null with `reason`: an errno; 0 when the host is not a numeric address, which libzmq may know
    // better (the name of an interface).
    static std::unique_ptr<TcpDoor> open(const std::string& endpoint, int& reason);
    ~TcpDoor();
    TcpDoor(const TcpDoor&) = delete;
    TcpDoor& operator=(const TcpDoor&) = delete;

    const std::string& endpoint() const { return endpoint_; }  // as bound
    int fd() const { return fd_; }                             // readable: somebody is at the door
    // A duplicate for ZMQ_USE_FD; libzmq closes it. -1: no descriptor left.
    int share() const;
    enum class State { open, barred, shut };
    // By the descriptors in use. Unless it is open, look again soon; while it is shut, nobody is at
    // the door.
    State tend(Instant now);

  private:
    TcpDoor(int fd, std::string endpoint, uint16_t port, int most)
        : fd_(fd), endpoint_(std::move(endpoint)), port_(port), most_(most) {}
    std::vector<PeerNetwork> connections() const;
    bool let_nobody_in(bool nobody);
    void bar(const std::vector<PeerNetwork>& networks);
    int fd_;
    std::string endpoint_;
    uint16_t port_;
    int most_;  // descriptors in use beyond which it is shut
    bool shut_ = false;
    std::vector<PeerNetwork> barred_;
    Instant counted_{0};
    int counted_at_ = 0;  // descriptors in use then
};

}  // namespace tanist
