// A voter's own connection to another voter, which is heard over the other's connection.
#include "replicator/node/vote_link.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replicator/base/file.h"
#include "replicator/control/identity.h"
#include "tests/support/eventually.h"
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

// A node that votes, before it knows its list.
struct Home {
    TempDir dir;
    NodeKey self;
    VoteLink link;
    Instant now{1'000'000'000'000};

    Home() : link(Layout(dir.path("a.db")), Settings{}) {
        const Layout layout(dir.path("a.db"));
        REQUIRE(make_directory(layout.directory).ok());
        auto made = load_or_create_identity(layout.identity());
        REQUIRE(made.ok());
        self = *made;
    }
};

struct Correspondence : Home {
    MutePort port;
    NodeKey other;

    Correspondence() {
        other.bytes[0] = 7;
        VoterList list;
        list.config.id = {Epoch(1), 1};
        list.addresses = {{.node = self, .name = "a", .endpoint = "tcp://127.0.0.1:1"},
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

// A voter that says which list it has.
struct Voter {
    std::unique_ptr<Link> link = std::move(Link::create()).value();
    VoterAddress address;
    failover::ConfigId has;
    bool got_list = false;

    explicit Voter(uint8_t key) {
        address.node.bytes[0] = key;
        address.endpoint = link->bind("tcp://127.0.0.1:*").value();
    }
    void answer() {
        link->wait({}, 0s);
        while (auto incoming = link->receive()) {
            auto envelope = decode_envelope(incoming->envelope);
            auto body = decode_body(*envelope, incoming->body.bytes());
            got_list |= !std::get<Voters>(*body).list.empty();
            Message have;
            have.body =
                VotersHave{.node = address.node, .epoch = has.epoch, .version = has.version};
            Bytes head;
            Bytes text;
            encode(have, head, text);
            link->send(incoming->from, head, std::move(text));
        }
    }
};

// A primary hands its new list to a voter with data and to a witness.
struct Handing : Home {
    Voter data{7};
    Voter witness{8};
    VoterList list;

    Handing() {
        list.config.id = {Epoch(3), 1};
        list.addresses = {
            {.node = self, .name = "a", .endpoint = "tcp://127.0.0.1:1"},
            data.address,
            witness.address,
        };
        list.config.members = {{.node = self},
                               {.node = data.address.node},
                               {.node = witness.address.node, .witness = true}};
        REQUIRE(link.open(list).ok());
    }
    // It is asked, and its answer arrives.
    void hear(const Voter& voter) {
        CHECK(testing::eventually([&] {
            link.tend(now);
            link.wait({}, 1ms);
            data.answer();
            witness.answer();
            return link.heard_at(voter.address.node) == now;
        }));
    }
    void hear_both_after(Nanos pause) {
        now = now + pause;
        hear(data);
        hear(witness);
    }
};

}  // namespace

// It would refuse whoever knows an older one, and, as nobody who may lead, could not hand it on.
TEST_CASE("vote link: a witness gets the list when the voter with data has it") {
    Handing with;
    with.hear_both_after(0s);
    CHECK(with.data.got_list);
    CHECK_FALSE(with.witness.got_list);
    with.data.has = with.list.config.id;
    with.hear_both_after(500ms);
    with.now = with.now + 500ms;
    with.hear(with.witness);
    CHECK(with.witness.got_list);
}

TEST_CASE("vote link: a witness gets the list though a voter with data does not take it for long") {
    Handing with;
    with.hear_both_after(0s);
    CHECK_FALSE(with.witness.got_list);
    with.hear_both_after(2s);
    CHECK(with.witness.got_list);
}

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
