#include "replicator/node/status_poll.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <filesystem>
#include <thread>

#include "replicator/control/identity.h"
#include "tests/support/tcp_listener.h"
#include "tests/support/temp_dir.h"

namespace tanist {
namespace {

using testing::TcpListener;

// Longer than any test lasts.
constexpr Nanos kForEver = std::chrono::hours(1);

// As the system does for a process that was killed: what was taken is closed, and then the port.
void die_when_asked(TcpListener& listener) {
    pollfd asked{listener.fd, POLLIN, 0};
    if (::poll(&asked, 1, 60'000) != 1) return;
    ::close(::accept(listener.fd, nullptr, nullptr));
    listener.close();
}

}  // namespace

TEST_CASE("status_poll: who dies while it is asked is not waited for") {
    TempDir dir;
    const Layout layout(dir.path("a.db"));
    std::filesystem::create_directories(layout.directory);
    REQUIRE(load_or_create_identity(layout.identity()).ok());
    TcpListener listener;
    std::thread dies([&] { die_when_asked(listener); });
    const std::vector<Member> members = {{.name = "b", .endpoint = listener.endpoint, .key = {}}};
    CHECK_FALSE(poll_status(layout, Settings{}, members, kForEver)[0].reached);
    dies.join();
    CHECK(listener.fd == -1);  // it was asked
}

}  // namespace tanist
