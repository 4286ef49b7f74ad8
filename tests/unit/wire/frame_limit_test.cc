// A peer that speaks ZMTP by hand, as libzmq would not.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "replicator/base/limits.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"
#include "tests/support/eventually.h"

namespace tanist {
namespace {

// A connection that has come through the handshake of an endpoint without keys.
class Raw {
  public:
    explicit Raw(const std::string& endpoint) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int port = std::atoi(endpoint.c_str() + endpoint.rfind(':') + 1);
        address.sin_port = htons(static_cast<uint16_t>(port));
        REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        std::string greeting("\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL", 16);
        greeting.resize(64, '\0');
        say(greeting);
        say(std::string("\4\x1c\5READY\x0bSocket-Type\0\0\0\6DEALER", 30));
        // Before the other side is ready, a message is an error in the handshake.
        hear(greeting.size());
        hear(static_cast<unsigned char>(hear(2)[1]));
    }
    ~Raw() { ::close(fd_); }
    void say(const std::string& bytes) const {
        REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    std::string hear(size_t count) const {
        std::string bytes(count, '\0');
        REQUIRE(::recv(fd_, bytes.data(), count, MSG_WAITALL) == static_cast<ssize_t>(count));
        return bytes;
    }
    // The head of a message with one frame of so many bytes.
    void say_head(uint64_t bytes) const {
        std::string head(1, '\2');
        for (int shift = 56; shift >= 0; shift -= 8) {
            head.push_back(static_cast<char>(bytes >> shift));
        }
        say(head);
    }
    bool is_put_out() const {
        return testing::eventually([&] {
            char block[512];
            const ssize_t got = ::recv(fd_, block, sizeof block, MSG_DONTWAIT);
            return got == 0 || (got < 0 && errno != EAGAIN);
        });
    }

  private:
    int fd_;
};

}  // namespace

// After the handshake nothing else would put it out. The length alone decides: no room is made.
TEST_CASE("frame limit: who says that a frame is longer than any of ours is put out at once") {
    auto server = std::move(Link::create()).value();
    const auto endpoint = server->bind("tcp://127.0.0.1:*");
    REQUIRE(endpoint.ok());
    const Raw raw(*endpoint);
    raw.say_head(limits::kFrameBytesMax + 4096);
    CHECK(raw.is_put_out());
}

// So that the test above is one of the limit, and not of a handshake that failed.
TEST_CASE("frame limit: a frame within it is taken") {
    auto server = std::move(Link::create()).value();
    const auto endpoint = server->bind("tcp://127.0.0.1:*");
    REQUIRE(endpoint.ok());
    const Raw raw(*endpoint);
    raw.say_head(kEnvelopeBytes);
    raw.say(std::string(kEnvelopeBytes, 'x'));
    std::optional<Incoming> heard;
    CHECK(testing::eventually([&] {
        server->wait({}, std::chrono::milliseconds(5));
        heard = server->receive();
        return heard.has_value();
    }));
}

}  // namespace tanist
