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

// Received bytes, in the buffer the network filled. Copies share it; the bytes never change and
// live as long as any copy.
class Frame {
  public:
    Frame() = default;
    Frame(std::shared_ptr<const void> owner, ByteView bytes)
        : owner_(std::move(owner)), bytes_(bytes) {}
    ByteView bytes() const { return bytes_; }
    operator ByteView() const { return bytes_; }
    ByteView operator*() const { return bytes_; }
    explicit operator bool() const { return owner_ != nullptr; }

  private:
    std::shared_ptr<const void> owner_;
    ByteView bytes_;
};

struct Incoming {
    LinkId from = 0;
    Frame envelope;  // kEnvelopeBytes
    Frame body;      // second frame; false and empty when absent
};

class Link {
  public:
    static Result<std::unique_ptr<Link>> create();
    virtual ~Link() = default;
    // ROUTER. busy: the endpoint is in use. io, invalid: not ours, or not an endpoint. The message
    // names it and says what to do.
    // Returns the endpoint as bound ("tcp://127.0.0.1:*" gets a port).
    virtual Result<std::string> bind(const std::string& endpoint) = 0;
    // DEALER with a fresh socket; connecting goes on in the background.
    virtual Result<LinkId> connect(const std::string& endpoint) = 0;
    virtual void close(LinkId link) = 0;
    // Never waits. An outgoing socket that has not connected yet holds a few messages and sends
    // them when it has (silence of the peer is for the caller to notice). False: the connection is
    // gone, or that bound is reached; nothing was sent and nothing more will be on this link.
    virtual bool send(LinkId to, ByteView envelope, Bytes body) = 0;
    // Waits until something arrived, one of `wake` is readable, or the timeout; zero: only looks.
    // May return early for no reason.
    virtual void wait(const std::vector<int>& wake, Nanos timeout) = 0;
    // Next message, or nothing. Frames that break the bounds are dropped and counted.
    virtual std::optional<Incoming> receive() = 0;
    virtual uint64_t dropped() const = 0;
};

}  // namespace tanist
