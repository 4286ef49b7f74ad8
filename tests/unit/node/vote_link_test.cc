// A voter's own connection to another voter, which is heard over the other's connection.
#include "replicator/node/vote_link.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replicator/base/file.h"
#include "replicator/control/identity.h"
#include "tests/support/tcp_listener.h"
#include "tests/support/temp_dir.h"

using namespace tanist;
using namespace std::chrono_literals;

namespace {

// Nothing that is sent to it gets there.
struct MutePort : testing::TcpListener {
    std::vector<int> callers;
    ~MutePort() {
        for (const int caller : callers) ::close(caller);
    }
    // libzmq itself calls again after three seconds of silence.
    bool is_called() {
        pollfd called{fd, POLLIN, 0};
        if (::poll(&called, 1, 1000) != 1) return false;
        callers.push_back(::accept(fd, nullptr, nullptr));
        return true;
    }
};

struct Correspondence {
    TempDir dir;
    MutePort port;
    NodeKey other;
    VoteLink link;
    Instant now{1'000'000'000'000};

    Correspondence() : link(Layout(dir.path("a.db")), Settings{}) {
        const Layout layout(dir.path("a.db"));
        REQUIRE(make_directory(layout.directory).ok());
        auto self = load_or_create_identity(layout.identity());
        REQUIRE(self.ok());
        other.bytes[0] = 7;
        VoterList list;
        list.config.id = {Epoch(1), 1};
        list.addresses = {{.node = *self, .name = "a", .endpoint = "tcp://127.0.0.1:1"},
                          {.node = other, .name = "b", .endpoint = port.endpoint}};
        REQUIRE(link.open(list).ok());
    }
    // It sends, and hears the other one, again and again.
    void talk(Nanos how_long) {
        for (const Instant end = now + how_long; now < end; now = now + 100ms) {
            link.send(other, failover::PromiseAsk{1}, now);
            link.heard(other, now);
            link.tend(now);
        }
    }
};

}  // namespace

TEST_CASE("vote link: a connection that does not come about is tried again, whoever is heard") {
    Correspondence with;
    with.talk(500ms);
    REQUIRE(with.port.is_called());
    with.talk(2s);
    CHECK(with.port.is_called());
}

TEST_CASE("vote link: what has not come about in time gets twice the time at the next attempt") {
    Correspondence with;
    with.talk(500ms);
    REQUIRE(with.port.is_called());
    with.talk(1s);
    REQUIRE(with.port.is_called());
    with.talk(1500ms);
    CHECK_FALSE(with.port.is_called());
    with.talk(1s);
    CHECK(with.port.is_called());
}
