// How messages travel. A Link owns sockets on one thread and moves frames; it knows nothing of the
// protocol. zmq_link.cc is the implementation, and the only place with zmq headers.
//
// ZeroMQ is never trusted for delivery, order or liveness: sessions, LSNs, credit and heartbeats
// are ours. Settings and their reasons: shared/zeromq-facts 3.3.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replicator/base/bytes.h"
#include "replicator/base/clock.h"
#include "replicator/base/result.h"

namespace tanist {

// Names a connection of this process: an outgoing socket, or a peer of a bound one. Never reused.
using LinkId = uint64_t;

struct Incoming {
    LinkId from = 0;
    Bytes envelope;                     // first frame, at most kEnvelopeBytes
    std::shared_ptr<const Bytes> body;  // second frame; null when absent
};

class Link {
  public:
    static Result<std::unique_ptr<Link>> create();
    virtual ~Link() = default;
    // ROUTER. io: the endpoint is in use, or not ours; the message says which and what to do.
    // Returns the endpoint as bound ("tcp://127.0.0.1:*" gets a port).
    virtual Result<std::string> bind(const std::string& endpoint) = 0;
    // DEALER with a fresh socket; connecting goes on in the background.
    virtual Result<LinkId> connect(const std::string& endpoint) = 0;
    virtual void close(LinkId link) = 0;
    // False: the peer is gone or takes nothing now; nothing was sent.
    virtual bool send(LinkId to, ByteView envelope, Bytes body) = 0;
    // Waits until something arrived, one of `wake` is readable, or the timeout.
    virtual void wait(const std::vector<int>& wake, Nanos timeout) = 0;
    // Next message, or nothing. Frames that break the bounds are dropped and counted.
    virtual std::optional<Incoming> receive() = 0;
    virtual uint64_t dropped() const = 0;
};

}  // namespace tanist
