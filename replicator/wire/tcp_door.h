// The listening TCP socket of a secured endpoint, kept in our own hands so that strangers cannot
// use up the process's descriptors: libzmq accepts whatever comes and spins when there are none
// left. Connections that say nothing are accepted some seconds later only (TCP_DEFER_ACCEPT).
// Beyond half of the descriptors that the process may have, new connections are dropped by the
// kernel, before they cost anything, until old ones have gone; those that are there are not
// touched. What was on its way when that began, at most the backlog and what came before we woke,
// still gets in.
//
// Thread rule: one thread; the socket itself is shared with libzmq's.
#pragma once

#include <memory>
#include <string>

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
    // Shuts or opens it by the descriptors in use. True: it is shut, look again soon.
    bool tend();

  private:
    TcpDoor(int fd, std::string endpoint, int most)
        : fd_(fd), endpoint_(std::move(endpoint)), most_(most) {}
    int fd_;
    std::string endpoint_;
    int most_;  // descriptors in use beyond which it is shut
    bool shut_ = false;
};

}  // namespace tanist
