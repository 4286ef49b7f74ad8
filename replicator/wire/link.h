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
#include "replicator/base/keys.h"
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
    // A frame is its bytes, to whoever only reads them. NOLINTNEXTLINE(google-explicit-constructor)
    operator ByteView() const { return bytes_; }
    ByteView operator*() const { return bytes_; }
    explicit operator bool() const { return owner_ != nullptr; }

  private:
    std::shared_ptr<const void> owner_;
    ByteView bytes_;
};

// Who sent a message, by what ZeroMQ authenticated: never by what the message says.
//   local     over a plain endpoint, which only this machine reaches
//   stranger  over CURVE with a key that is not on the list; only while strangers are admitted
//   member    over CURVE with a key on the list, as the list is now; or the server whose key the
//             outgoing connection was opened to (then without rights: what it may say follows from
//             whom the link was opened to)
struct Caller {
    enum class Kind { local, stranger, member };
    Kind kind = Kind::local;
    NodeKey node;    // member of a bound endpoint
    CurveKey curve;  // stranger and member
    Rights rights;
    bool operator==(const Caller&) const = default;
};

// Whose keys may come in over secured endpoints.
struct Admission {
    std::vector<AllowedKey> keys;
    // Unknown keys may connect, too, and are told apart: an invitation is open, or the status is.
    bool strangers = false;
};

struct Incoming {
    LinkId from = 0;
    Caller caller;
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

    // The pair that secured endpoints and connections use from now on, and who may come in.
    // Endpoints that are bound already are bound anew when the pair changed or a key was taken off:
    // that cuts every connection to them; those who may come back. Messages of a key that was taken
    // off are never delivered after this returns.
    virtual Status secure(const CurvePair& own, const Admission& admission) = 0;
    // As bind(), with CURVE, and only for who is admitted. Requires: secure(). invalid: without it
    // nothing is bound (fail closed).
    virtual Result<std::string> bind_secured(const std::string& endpoint) = 0;
    // As connect(), with CURVE, to the holder of `server` and nobody else. Requires: secure(). A
    // server that does not admit us never answers and is not asked again on this link: close it and
    // connect anew, with a pause.
    virtual Result<LinkId> connect_secured(const std::string& endpoint, const CurveKey& server) = 0;

    virtual void close(LinkId link) = 0;
    // Never waits. An outgoing socket that has not connected yet holds a few messages and sends
    // them when it has (silence of the peer is for the caller to notice). False: the connection is
    // gone, or that bound is reached; nothing was sent and nothing more will be on this link.
    virtual bool send(LinkId to, ByteView envelope, Bytes body) = 0;
    // Whether something that was sent waits until this outgoing connection is there.
    virtual bool holds(LinkId link) const = 0;
    // Waits until something arrived, one of `wake` is readable, or the timeout; zero: only looks.
    // May return early for no reason. Bit i of what it returns: wake[i] is readable. At most 64.
    virtual uint64_t wait(const std::vector<int>& wake, Nanos timeout) = 0;
    // The next message of those that had come when wait() returned, and perhaps later ones; or
    // nothing. Frames that break the bounds are dropped and counted.
    virtual std::optional<Incoming> receive() = 0;
    virtual uint64_t dropped() const = 0;
};

}  // namespace tanist
