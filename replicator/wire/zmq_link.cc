// The Link over ZeroMQ. Every setting has its reason in docs/wire-protocol.md, "Sockets".
//
// High-water marks are off on purpose: they count messages, drop or block, and a stopped receive
// path is where libzmq fails. Credit bounds what is in flight instead.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <list>
#include <unordered_map>
#include <zmq.hpp>

#include "replicator/base/event.h"
#include "replicator/base/limits.h"
#include "replicator/base/notes.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"
#include "replicator/wire/tcp_door.h"
#include "replicator/wire/zmq_zap.h"

namespace tanist {

// posix_endpoint.cc: somebody listens on this unix-domain socket.
bool unix_socket_answers(const std::string& path);
bool unix_socket_exists(const std::string& path);

namespace {

constexpr size_t kPeersMax = 4096;
constexpr size_t kPendingMessagesMax = 64;
constexpr size_t kPendingBytesMax = 1u << 20;
// Below it, copying is cheaper than handing over the allocation.
constexpr size_t kCopyBytesMax = 1024;
// What CURVE adds to a frame.
constexpr int64_t kCurveBytes = 33;
constexpr Nanos kBindAgain = std::chrono::milliseconds(5);
constexpr Nanos kDoorAgain = std::chrono::milliseconds(50);
// Whoever fills a door and leaves it again may not fill the operator's log.
constexpr Nanos kDoorToldEvery = std::chrono::seconds(10);

struct Outgoing {
    zmq::message_t envelope;
    zmq::message_t body;  // empty: none
    size_t bytes() const { return envelope.size() + body.size(); }
};

// What this thread knows of a socket without asking it. Its descriptor says that something has
// happened since the socket was asked last, and whatever is done with the socket may take that news
// (zmq_getsockopt(3), ZMQ_FD): then it is asked before the next wait. To find nothing to read is
// to ask. A question is two system calls, a useless one of zmq_poll() twice as many.
struct News {
    bool may_hold = true;  // there may be something to read
    bool taken = true;     // by a sending, or a binding
};

// A bound socket. One that is being bound anew may find its port still taken for a moment by the
// socket it replaces: it tries again each time the link waits.
struct Binder {
    zmq::socket_t socket;
    std::string endpoint;  // as bound
    bool secured = false;
    std::unique_ptr<TcpDoor> door;  // of a secured TCP endpoint: libzmq is given its socket
    bool bound = true;
    int tries = 0;                               // to bind anew
    TcpDoor::State told = TcpDoor::State::open;  // to the operator...
    Instant told_at{0};                          // ...and when
    News news;
};

struct Connector {
    zmq::socket_t socket;
    Caller server;
    std::deque<Outgoing> pending;
    size_t pending_bytes = 0;
    // Once a message was taken, a socket that takes none has lost its connection: without
    // high-water marks there is no other reason.
    bool connected = false;
    News news;
};

struct Peer {
    size_t binder = 0;
    std::string routing_id;
    std::list<LinkId>::iterator recent;
};

void free_bytes(void*, void* hint) noexcept { delete static_cast<Bytes*>(hint); }

zmq::message_t own(Bytes body) {
    if (body.size() <= kCopyBytesMax) return {body.data(), body.size()};
    auto* kept = new Bytes(std::move(body));
    return {kept->data(), kept->size(), free_bytes, kept};
}

ByteView view_of(const zmq::message_t& message) {
    return {static_cast<const uint8_t*>(message.data()), message.size()};
}

// Both frames of a received message under one owner.
struct Received {
    zmq::message_t envelope;
    zmq::message_t body;
};

void set_common(zmq::socket_t& socket) {
    socket.set(zmq::sockopt::sndhwm, 0);
    socket.set(zmq::sockopt::rcvhwm, 0);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::maxmsgsize,
               static_cast<int64_t>(limits::kFrameBytesMax) + kCurveBytes);
    socket.set(zmq::sockopt::handshake_ivl, 3000);
    socket.set(zmq::sockopt::tcp_maxrt, 5000);
    socket.set(zmq::sockopt::tcp_keepalive, 1);
    socket.set(zmq::sockopt::tcp_keepalive_idle, 10);
    socket.set(zmq::sockopt::tcp_keepalive_intvl, 5);
    socket.set(zmq::sockopt::tcp_keepalive_cnt, 3);
}

Error bind_error(const std::string& endpoint, int number, const char* text) {
    switch (number) {
        case EADDRINUSE:
            return {Errc::busy, endpoint +
                                    " is in use by another program; stop that one or choose "
                                    "another endpoint"};
        case EADDRNOTAVAIL:
        case ENODEV:
            return {Errc::io, endpoint +
                                  " is not an address of this machine; listen on one that is, or "
                                  "on 0.0.0.0"};
        case EACCES:
            return {Errc::io, endpoint +
                                  " needs a right this program does not have; choose a port above "
                                  "1023 or another path"};
        case EINVAL:
        case EPROTONOSUPPORT:
            return {Errc::invalid,
                    endpoint + " is not an endpoint; write tcp://HOST:PORT or ipc://PATH"};
        default:
            return {Errc::io, "cannot listen on " + endpoint + ": " + text};
    }
}

Error connect_error(const std::string& endpoint, const zmq::error_t& error) {
    if (error.num() == EINVAL || error.num() == EPROTONOSUPPORT) {
        return {Errc::invalid,
                endpoint + " is not an endpoint; write tcp://HOST:PORT or ipc://PATH"};
    }
    return {Errc::io, "cannot connect to " + endpoint + ": " + error.what()};
}

// Of the payload frame: after a poll the routing id's frame has no metadata in libzmq 4.3.4.
std::string user_id_of(zmq::message_t& envelope) {
    const char* text = zmq_msg_gets(envelope.handle(), "User-Id");
    return text == nullptr ? "" : text;
}

class ZmqLink final : public Link {
  public:
    ZmqLink() { context_.set(zmq::ctxopt::blocky, false); }

    Result<std::string> bind(const std::string& endpoint) override { return bind(endpoint, false); }

    Result<std::string> bind(const std::string& endpoint, bool secured) {
        // libzmq unlinks the path before it binds, which would take a living daemon's endpoint.
        if (endpoint.starts_with("ipc://") && !endpoint.starts_with("ipc://@") &&
            unix_socket_answers(endpoint.substr(6))) {
            return bind_error(endpoint, EADDRINUSE, "");
        }
        Binder binder;
        binder.endpoint = endpoint;
        binder.secured = secured;
        int reason = 0;
        if (secured) binder.door = TcpDoor::open(endpoint, reason);
        if (reason != 0) return bind_error(endpoint, reason, std::strerror(reason));
        try {
            binder.socket = make_binder(binder);
            binder.socket.bind(endpoint);
            binder.endpoint = binder.socket.get(zmq::sockopt::last_endpoint);
            binders_.push_back(std::move(binder));
            return binders_.back().endpoint;
        } catch (const zmq::error_t& error) {
            return bind_error(endpoint, error.num(), error.what());
        }
    }

    Result<std::string> bind_secured(const std::string& endpoint) override {
        if (!zap_) return Error{Errc::invalid, endpoint + " cannot be secured without keys"};
        return bind(endpoint, true);
    }

    Status secure(const CurvePair& own, const Admission& admission) override {
        try {
            if (!zap_) zap_ = std::make_unique<ZapHandler>(context_);
        } catch (const zmq::error_t& error) {
            return Error{Errc::io, std::string("cannot check keys: ") + error.what()};
        }
        DoorList list(admission);
        const bool cut = own.open != own_.open || !list.keeps_all_of(door_);
        own_ = own;
        door_ = std::move(list);
        if (!cut) return ok_status();
        for (size_t i = 0; i < binders_.size(); ++i) {
            if (binders_[i].secured) renew(i);
        }
        return ok_status();
    }

    Result<LinkId> connect(const std::string& endpoint) override {
        return connect_as(endpoint, nullptr);
    }

    Result<LinkId> connect_secured(const std::string& endpoint, const CurveKey& server) override {
        if (!zap_) return Error{Errc::invalid, endpoint + " cannot be reached without keys"};
        return connect_as(endpoint, &server);
    }

    void close(LinkId link) override {
        if (connectors_.erase(link) == 0) forget(link);
    }

    bool send(LinkId to, ByteView envelope, Bytes body) override {
        Outgoing message{{envelope.data(), envelope.size()}, own(std::move(body))};
        if (auto found = connectors_.find(to); found != connectors_.end()) {
            return send_or_hold(found->second, std::move(message));
        }
        auto found = peers_.find(to);
        if (found == peers_.end()) return false;
        touch(found->second);
        zmq::message_t id(found->second.routing_id);
        zmq::socket_t& socket = binders_[found->second.binder].socket;
        binders_[found->second.binder].news.taken = true;
        if (put(socket, id, true) && send_now(socket, message)) return true;
        forget(to);
        return false;
    }

    bool holds(LinkId link) const override {
        auto found = connectors_.find(link);
        return found != connectors_.end() && !found->second.pending.empty();
    }

    uint64_t wait(const std::vector<int>& wake, Nanos timeout) override {
        polled_.clear();
        news_.clear();
        Nanos longest = watch_binders(std::max(timeout, Nanos(0)));
        News zap_news{.may_hold = false};  // it reads until there is nothing, then answers
        if (zap_) watch(zap_->socket(), zap_news, longest);
        for (auto& [id, connector] : connectors_) {
            flush(connector);
            watch(connector.socket, connector.news, longest, !connector.pending.empty());
        }
        const size_t first_wake = polled_.size();
        for (int fd : wake) polled_.push_back({fd});
        wait_readable(polled_, longest);
        for (size_t i = 0; i < first_wake; ++i) {
            if (polled_[i].is && news_[i] != nullptr) news_[i]->may_hold = true;
        }
        if (zap_news.may_hold) zap_->serve(door_);
        for (auto& [id, connector] : connectors_) flush(connector);
        uint64_t rung = 0;
        for (size_t i = 0; i < wake.size(); ++i) {
            rung |= uint64_t{polled_[first_wake + i].is} << i;
        }
        return rung;
    }

    std::optional<Incoming> receive() override {
        for (size_t i = 0; i < binders_.size(); ++i) {
            while (binders_[i].news.may_hold) {
                auto outcome = receive_from_binder(i);
                if (!outcome) binders_[i].news = {.may_hold = false, .taken = false};
                if (outcome && outcome->from != 0) return outcome;
            }
        }
        for (auto& [id, connector] : connectors_) {
            while (connector.news.may_hold) {
                auto outcome = receive_from_connector(id, connector);
                if (!outcome) connector.news = {.may_hold = false, .taken = false};
                if (outcome && outcome->from != 0) return outcome;
            }
        }
        return std::nullopt;
    }

    uint64_t dropped() const override { return dropped_; }

  private:
    // How long one may wait with them.
    Nanos watch_binders(Nanos longest) {
        for (Binder& binder : binders_) {
            if (!binder.bound && !try_bind(binder)) longest = std::min(longest, kBindAgain);
            watch(binder.socket, binder.news, longest);
            if (!binder.door) continue;
            // Somebody new wakes us to count; while it is shut nobody does.
            const TcpDoor::State state = binder.door->tend(boot_now());
            tell(binder, state);
            if (state != TcpDoor::State::open) longest = std::min(longest, kDoorAgain);
            if (state == TcpDoor::State::shut) continue;
            polled_.push_back({binder.door->fd()});
            news_.push_back(nullptr);
        }
        return longest;
    }

    // Where there is something to read already, or what was held can be sent, nobody waits.
    void watch(zmq::socket_t& socket, News& news, Nanos& longest, bool sends = false) {
        int fd = -1;
        try {
            fd = socket.get(zmq::sockopt::fd);
            if (news.taken || news.may_hold) {
                const int events = socket.get(zmq::sockopt::events);
                news = {.may_hold = (events & ZMQ_POLLIN) != 0, .taken = false};
                if (sends && (events & ZMQ_POLLOUT) != 0) longest = Nanos(0);
            }
        } catch (const zmq::error_t&) {
            news.may_hold = true;  // EINTR: reading finds out
        }
        if (news.may_hold) longest = Nanos(0);
        polled_.push_back({fd});
        news_.push_back(&news);
    }

    static void tell(Binder& binder, TcpDoor::State state) {
        if (state == binder.told) return;
        const Instant now = boot_now();
        const bool first = binder.told_at.ns == 0;
        if (!first && now - binder.told_at < kDoorToldEvery) return;
        binder.told = state;
        binder.told_at = now;
        const char* event = "the door is open to everybody again";
        if (state == TcpDoor::State::barred) {
            event = "addresses that hold too many connections are barred";
        } else if (state == TcpDoor::State::shut) {
            event = "too many connections: nobody new is let in for a moment";
        }
        note(state == TcpDoor::State::open ? NoteLevel::info : NoteLevel::warning, event,
             {{"endpoint", binder.endpoint}});
    }

    // False: not taken, the message is unchanged.
    static bool put(zmq::socket_t& socket, zmq::message_t& part, bool more) {
        try {
            auto flags = more ? zmq::send_flags::dontwait | zmq::send_flags::sndmore
                              : zmq::send_flags::dontwait;
            return socket.send(part, flags).has_value();
        } catch (const zmq::error_t&) {
            return false;  // EHOSTUNREACH and the like: the peer is gone
        }
    }

    static bool send_now(zmq::socket_t& socket, Outgoing& message) {
        bool has_body = message.body.size() != 0;
        if (!put(socket, message.envelope, has_body)) return false;
        return !has_body || put(socket, message.body, false);
    }

    static bool send_or_hold(Connector& connector, Outgoing message) {
        connector.news.taken = true;
        if (!flush(connector)) return false;
        if (connector.pending.empty() && send_now(connector.socket, message)) {
            connector.connected = true;
            return true;
        }
        if (connector.connected || connector.pending.size() >= kPendingMessagesMax ||
            connector.pending_bytes + message.bytes() > kPendingBytesMax) {
            return false;
        }
        connector.pending_bytes += message.bytes();
        connector.pending.push_back(std::move(message));
        return true;
    }

    // False: what was held can no longer be sent.
    static bool flush(Connector& connector) {
        while (!connector.pending.empty()) {
            connector.news.taken = true;
            size_t bytes = connector.pending.front().bytes();
            if (!send_now(connector.socket, connector.pending.front())) {
                return !connector.connected;
            }
            connector.connected = true;
            connector.pending_bytes -= bytes;
            connector.pending.pop_front();
        }
        return true;
    }

    // False: nothing there.
    static bool take(zmq::socket_t& socket, zmq::message_t& part) {
        try {
            return socket.recv(part, zmq::recv_flags::dontwait).has_value();
        } catch (const zmq::error_t&) {
            return false;
        }
    }

    zmq::socket_t make_binder(const Binder& binder) {
        zmq::socket_t socket(context_, zmq::socket_type::router);
        set_common(socket);
        if (binder.secured) set_curve_server(socket, own_);
        if (binder.door) {
            const int fd = binder.door->share();
            if (fd < 0) throw zmq::error_t();
            socket.set(zmq::sockopt::use_fd, fd);
        }
        socket.set(zmq::sockopt::router_mandatory, 1);
        socket.set(zmq::sockopt::router_handover, 0);
        return socket;
    }

    Result<LinkId> connect_as(const std::string& endpoint, const CurveKey* server) {
        try {
            Connector connector;
            connector.socket = zmq::socket_t(context_, zmq::socket_type::dealer);
            set_common(connector.socket);
            if (server != nullptr) {
                set_curve_client(connector.socket, own_, *server);
                connector.server.kind = Caller::Kind::member;
                connector.server.curve = *server;
            }
            connector.socket.set(zmq::sockopt::immediate, 1);
            connector.socket.set(zmq::sockopt::reconnect_ivl, 100);
            connector.socket.set(zmq::sockopt::reconnect_ivl_max, 5000);
            connector.socket.connect(endpoint);
            connectors_.emplace(++last_id_, std::move(connector));
            return last_id_;
        } catch (const zmq::error_t& error) {
            return connect_error(endpoint, error);
        }
    }

    // A new socket on the same endpoint; the connections of the old one are cut.
    void renew(size_t index) {
        Binder& binder = binders_[index];
        std::vector<LinkId> cut;
        for (const auto& [id, peer] : peers_) {
            if (peer.binder == index) cut.push_back(id);
        }
        for (LinkId id : cut) forget(id);
        binder.bound = false;
        binder.news = {};
        binder.tries = 0;
        try {
            binder.socket = make_binder(binder);  // closes the old one
        } catch (const zmq::error_t&) {
            binder.bound = true;  // the old one stays, and every message is checked all the same
            return;
        }
        try_bind(binder);
    }

    // The socket that is replaced goes in libzmq's own time, and removes the path of an ipc
    // endpoint last: it must not remove ours.
    static bool path_in_the_way(const Binder& binder) {
        constexpr int kTriesForThePath = 40;
        if (!binder.endpoint.starts_with("ipc://")) return false;
        const std::string path = binder.endpoint.substr(6);
        return unix_socket_exists(path) &&
               (binder.tries < kTriesForThePath || unix_socket_answers(path));
    }

    static bool try_bind(Binder& binder) {
        ++binder.tries;
        binder.news.taken = true;
        if (path_in_the_way(binder)) return false;
        try {
            binder.socket.bind(binder.endpoint);
            binder.bound = true;
        } catch (const zmq::error_t&) {
        }
        return binder.bound;
    }

    // The frames after the routing id. An Incoming without `from` was dropped.
    Incoming take_frames(zmq::socket_t& socket, LinkId from, bool have_first,
                         zmq::message_t first) {
        auto received = std::make_shared<Received>();
        received->envelope = std::move(first);
        size_t parts = have_first ? 1 : 0;
        bool more = have_first ? received->envelope.more() : true;
        zmq::message_t extra;
        while (more) {
            zmq::message_t& part = parts == 0   ? received->envelope
                                   : parts == 1 ? received->body
                                                : extra;
            if (!take(socket, part)) break;
            more = part.more();
            ++parts;
        }
        if (parts == 0 || parts > 2 || received->envelope.size() != kEnvelopeBytes ||
            received->body.size() > limits::kFrameBytesMax) {
            ++dropped_;
            return {};
        }
        user_id_ = user_id_of(received->envelope);
        Incoming incoming;
        incoming.from = from;
        incoming.envelope = Frame(received, view_of(received->envelope));
        if (parts == 2) incoming.body = Frame(received, view_of(received->body));
        return incoming;
    }

    std::optional<Incoming> receive_from_binder(size_t index) {
        zmq::socket_t& socket = binders_[index].socket;
        zmq::message_t id;
        if (!take(socket, id)) return std::nullopt;
        if (!id.more()) {
            ++dropped_;
            return Incoming{};
        }
        LinkId from = number_of(index, id.to_string());
        Incoming incoming = take_frames(socket, from, false, {});
        if (!binders_[index].secured || incoming.from == 0) return incoming;
        const Caller* caller = door_.caller(user_id_);
        if (caller == nullptr) {
            ++dropped_;
            forget(from);
            return Incoming{};
        }
        incoming.caller = *caller;
        return incoming;
    }

    std::optional<Incoming> receive_from_connector(LinkId id, Connector& connector) {
        zmq::message_t first;
        if (!take(connector.socket, first)) return std::nullopt;
        Incoming incoming = take_frames(connector.socket, id, true, std::move(first));
        incoming.caller = connector.server;
        return incoming;
    }

    LinkId number_of(size_t binder, const std::string& routing_id) {
        std::string key = std::to_string(binder) + ":" + routing_id;
        if (auto found = numbers_.find(key); found != numbers_.end()) {
            touch(peers_.at(found->second));
            return found->second;
        }
        if (peers_.size() >= kPeersMax) forget(recent_.back());
        LinkId id = ++last_id_;
        recent_.push_front(id);
        peers_.emplace(id, Peer{binder, routing_id, recent_.begin()});
        numbers_.emplace(std::move(key), id);
        return id;
    }

    void touch(Peer& peer) { recent_.splice(recent_.begin(), recent_, peer.recent); }

    void forget(LinkId link) {
        auto found = peers_.find(link);
        if (found == peers_.end()) return;
        numbers_.erase(std::to_string(found->second.binder) + ":" + found->second.routing_id);
        recent_.erase(found->second.recent);
        peers_.erase(found);
    }

    zmq::context_t context_;  // first: outlives the sockets
    std::unique_ptr<ZapHandler> zap_;
    CurvePair own_;
    DoorList door_;
    std::string user_id_;  // of the message that take_frames took last
    std::vector<Binder> binders_;
    std::unordered_map<LinkId, Connector> connectors_;
    std::unordered_map<LinkId, Peer> peers_;
    std::unordered_map<std::string, LinkId> numbers_;  // binder ":" routing id
    std::list<LinkId> recent_;                         // most recent first
    LinkId last_id_ = 0;
    uint64_t dropped_ = 0;
    std::vector<Readable> polled_;  // in wait(), and...
    std::vector<News*> news_;       // ...of those before `wake`, or null
};

}  // namespace

Result<std::unique_ptr<Link>> Link::create() {
    try {
        return std::unique_ptr<Link>(std::make_unique<ZmqLink>());
    } catch (const zmq::error_t& error) {
        return Error{Errc::io, std::string("cannot start ZeroMQ: ") + error.what()};
    }
}

}  // namespace tanist
