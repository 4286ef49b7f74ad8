// A client of our own making, byte by byte (ZMTP 3.0, CurveZMQ), because libzmq's would not send a
// property "User-Id": a peer that claims to be somebody else in the one place where ZeroMQ would
// believe it.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "replicator/base/bytes.h"
#include "replicator/base/random.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

Bytes operator+(Bytes a, ByteView b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

CurvePair new_pair() {
    CurvePair pair;
    REQUIRE(crypto_box_keypair(pair.open.bytes.data(), pair.secret.data()) == 0);
    return pair;
}

Bytes box(ByteView plain, ByteView nonce, ByteView to, ByteView from) {
    REQUIRE(nonce.size() == crypto_box_NONCEBYTES);
    Bytes sealed(plain.size() + crypto_box_MACBYTES);
    REQUIRE(crypto_box_easy(sealed.data(), plain.data(), plain.size(), nonce.data(), to.data(),
                            from.data()) == 0);
    return sealed;
}

Bytes property(std::string_view name, std::string_view value) {
    Bytes out = {static_cast<uint8_t>(name.size())};
    out = out + view_of(name) + Bytes{0, 0, 0, static_cast<uint8_t>(value.size())};
    return out + view_of(value);
}

class HandMade {
  public:
    HandMade(Link& server, const std::string& endpoint, const CurveKey& server_key)
        : server_(server), server_key_(server_key) {
        fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        const auto port = std::atoi(endpoint.c_str() + endpoint.rfind(':') + 1);
        address.sin_port = htons(static_cast<uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    ~HandMade() { ::close(fd_); }

    // Up to INITIATE, with these properties; false: the server hung up.
    bool handshake(const CurvePair& own, const Bytes& metadata) {
        Bytes greeting = bytes_of(std::string_view("\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE", 17));
        greeting.resize(64);
        put(greeting);
        if (take(64).empty()) return false;
        command(bytes_of("\5HELLO") + Bytes{1, 0} + Bytes(72) + session_.open.bytes + counter() +
                box(Bytes(64), nonce("CurveZMQHELLO---"), server_key_.bytes, session_.secret));
        const Bytes welcome = take(2 + 168);
        if (welcome.empty()) return false;
        Bytes opened(128);
        const Bytes welcome_nonce = bytes_of("WELCOME-") + ByteView(welcome).subspan(10, 16);
        REQUIRE(crypto_box_open_easy(opened.data(), welcome.data() + 26, 144, welcome_nonce.data(),
                                     server_key_.bytes.data(), session_.secret.data()) == 0);
        const ByteView server_session = ByteView(opened).first(32);
        const ByteView cookie = ByteView(opened).subspan(32);
        Bytes vouch_tail(16);
        random_bytes(vouch_tail.data(), vouch_tail.size());
        const Bytes vouch =
            vouch_tail + box(Bytes() + session_.open.bytes + server_key_.bytes,
                             bytes_of("VOUCH---") + vouch_tail, server_session, own.secret);
        ++counter_;
        command(bytes_of("\x08INITIATE") + cookie + counter() +
                box(Bytes() + own.open.bytes + vouch + metadata, nonce("CurveZMQINITIATE"),
                    server_session, session_.secret));
        server_session_ = Bytes() + server_session;
        const Bytes answer = take(2 + 6);
        return !answer.empty() && std::ranges::equal(ByteView(answer).subspan(2), ready_);
    }
    void say(ByteView payload) {
        ++counter_;
        const Bytes body =
            bytes_of("\7MESSAGE") + counter() +
            box(Bytes{0} + payload, nonce("CurveZMQMESSAGEC"), server_session_, session_.secret);
        put(Bytes{0, static_cast<uint8_t>(body.size())} + body);
    }

  private:
    Bytes counter() const {
        Bytes out(8);
        out[7] = counter_;
        return out;
    }
    Bytes nonce(std::string_view prefix) const { return bytes_of(prefix) + counter(); }
    void put(const Bytes& bytes) {
        REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    void command(const Bytes& body) {
        if (body.size() < 256) return put(Bytes{4, static_cast<uint8_t>(body.size())} + body);
        Bytes head(9);
        head[0] = 6;
        head[7] = static_cast<uint8_t>(body.size() >> 8);
        head[8] = static_cast<uint8_t>(body.size());
        put(head + body);
    }
    // Exactly that many bytes, while the server's loop turns; empty: it hung up or went silent.
    Bytes take(size_t count) {
        Bytes taken;
        for (int round = 0; round < 400 && taken.size() < count; ++round) {
            server_.wait({}, 2ms);
            pollfd item{fd_, POLLIN, 0};
            if (::poll(&item, 1, 2) <= 0) continue;
            Bytes part(count - taken.size());
            const ssize_t got = ::recv(fd_, part.data(), part.size(), MSG_DONTWAIT);
            if (got <= 0) return {};
            taken = taken + ByteView(part).first(static_cast<size_t>(got));
        }
        return taken.size() == count ? taken : Bytes{};
    }

    Link& server_;
    CurveKey server_key_;
    CurvePair session_ = new_pair();
    Bytes server_session_;
    const Bytes ready_ = bytes_of("\5READY");  // a refusal says ERROR
    uint8_t counter_ = 1;
    int fd_ = -1;
};

// A server that knows a leader and a replica.
struct Scene {
    CurvePair server_pair = new_pair();
    CurvePair replica_pair = new_pair();
    AllowedKey leader{new_pair().open, random_id<NodeKey>(), Rights{}.with(Right::lead)};
    AllowedKey replica{replica_pair.open, random_id<NodeKey>(), {}};
    std::unique_ptr<Link> server = std::move(Link::create()).value();
    std::string endpoint;
    Scene() {
        REQUIRE(server->secure(server_pair, {{leader, replica}, false}).ok());
        auto bound = server->bind_secured("tcp://127.0.0.1:*");
        REQUIRE(bound.ok());
        endpoint = *bound;
    }
    Bytes claims() const {
        return property("Socket-Type", "DEALER") + property("User-Id", to_string(leader.node));
    }
};

}  // namespace

TEST_CASE("forged User-Id: a member that claims to be the leader is still itself") {
    Scene scene;
    HandMade client(*scene.server, scene.endpoint, scene.server_pair.open);
    REQUIRE(client.handshake(scene.replica_pair, scene.claims()));
    client.say(Bytes(kEnvelopeBytes, 7));
    std::optional<Incoming> heard;
    for (int round = 0; round < 400 && !heard; ++round) {
        scene.server->wait({}, 5ms);
        heard = scene.server->receive();
    }
    REQUIRE(heard);
    CHECK(heard->envelope.bytes()[0] == 7);
    CHECK(heard->caller.node == scene.replica.node);
    CHECK_FALSE(heard->caller.rights.has(Right::lead));
}

TEST_CASE("forged User-Id: a stranger that claims to be the leader is not let in") {
    Scene scene;
    HandMade client(*scene.server, scene.endpoint, scene.server_pair.open);
    CHECK_FALSE(client.handshake(new_pair(), scene.claims()));
    CHECK_FALSE(scene.server->receive());
}

}  // namespace tanist
