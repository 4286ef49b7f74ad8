// A daemon among strangers: a second daemon for the same database, garbage on its port, readers
// without permission to write.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>

#include "replicator/wire/message.h"
#include "tests/support/application.h"
#include "tests/support/daemons.h"
#include "tests/support/in_child.h"
#include "tests/support/process/engine.h"

using namespace tanist;
using namespace tanist::testing;

TEST_CASE("two engines for one database: the second says who has it and exits with 3") {
    Pair pair("CREATE TABLE t(x)");
    Daemon second(pair.dir, {"--db", pair.primary});
    CHECK(!second.ready());
    CHECK(second.wait() == 3);
    CHECK(second.says("another process (pid " + std::to_string(pair.engine.pid()) + ")"));
    // As the extension starts it: somebody else was faster, which is fine.
    CHECK(Daemon(pair.dir, {"--db", pair.primary, "--engine"}).wait() == 0);
    Application(pair.primary).run("INSERT INTO t VALUES(1)");
    CHECK(pair.equal_soon());
}

TEST_CASE("two daemons for one replica: the second says who has it and exits with 3") {
    Pair pair("CREATE TABLE t(x)");
    Daemon second(pair.dir, {"--db", pair.replica, "--listen", "tcp://127.0.0.1:*"});
    CHECK(!second.ready());
    CHECK(second.wait() == 3);
    CHECK(second.says("another process (pid " + std::to_string(pair.replica_daemon.pid()) + ")"));
    Application(pair.primary).run("INSERT INTO t VALUES(1)");
    CHECK(pair.equal_soon());
}

namespace {

size_t open_files(pid_t pid) {
    size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
        count += entry.path().empty() ? 0 : 1;
    }
    return count;
}

// A stranger's TCP connection.
class Stranger {
  public:
    explicit Stranger(const std::string& endpoint)
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port =
            htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    }
    Stranger(Stranger&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    ~Stranger() {
        if (fd_ >= 0) ::close(fd_);
    }
    // As much as the daemon takes; it may hang up in the middle.
    void say(const std::string& bytes) const {
        timeval patience{2, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        for (size_t done = 0; done < bytes.size();) {
            const ssize_t sent =
                ::send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
            if (sent <= 0) return;
            done += static_cast<size_t>(sent);
        }
    }

  private:
    int fd_;
};

std::string noise(size_t bytes) {
    std::mt19937 random(7);
    std::string text(bytes, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    return text;
}

// A ZMTP 3.1 greeting, NULL mechanism, and a READY command of a DEALER.
std::string zmtp_hello() {
    std::string greeting("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01", 12);
    greeting += std::string("NULL") + std::string(16, '\0') + std::string(32, '\0');
    std::string ready = std::string("\5READY") + std::string("\013Socket-Type", 12) +
                        std::string("\0\0\0\6DEALER", 10) + std::string("\010Identity", 9) +
                        std::string("\0\0\0\0", 4);
    return greeting + '\x04' + static_cast<char>(ready.size()) + ready;
}

std::string frame(const std::string& content, bool more) {
    std::string size(8, '\0');
    for (size_t i = 0; i < 8; ++i) size[i] = static_cast<char>(content.size() >> (56 - 8 * i));
    return static_cast<char>(more ? 3 : 2) + size + content;
}

// A HELLO's envelope as the wire has it, and a body that is none.
std::string lying_message() {
    Message message;
    message.body = Hello{};
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    return frame(std::string(envelope.begin(), envelope.end()), true) +
           frame(std::string(body.size(), '\xff'), false);
}

// A frame that announces 2^62 bytes.
std::string endless_frame() { return std::string("\2\x40\0\0\0\0\0\0\0", 9) + noise(1 << 20); }

}  // namespace

TEST_CASE("port: whatever strangers send, the daemon serves its primary and stays small") {
    Pair pair("CREATE TABLE t(x)");
    Application writer(pair.primary);
    const pid_t daemon = pair.replica_daemon.pid();
    REQUIRE(eventually([&] { return pair.ask_replica("SELECT count(*) FROM t") == "0"; }));
    const size_t files_before = open_files(daemon);
    const std::vector<std::string> attacks = {
        noise(8 << 20),
        zmtp_hello() + noise(8 << 20),
        zmtp_hello() + endless_frame(),
        zmtp_hello() + lying_message(),
        zmtp_hello() + frame(noise(32 << 20), false),
        zmtp_hello() + frame(noise(40), true) + frame(noise(40), true) + frame("", false)};
    for (size_t i = 0; i < attacks.size(); ++i) {
        CAPTURE(i);
        for (int repeat = 0; repeat < 4; ++repeat) {
            Stranger(pair.replica_daemon.endpoint()).say(attacks[i]);
        }
        writer.run("INSERT INTO t VALUES(1)");
        CHECK(eventually(
            [&] { return pair.ask_replica("SELECT count(*) FROM t") == std::to_string(i + 1); }));
        REQUIRE(pair.replica_daemon.runs());
    }
    const bool closed = eventually([&] { return open_files(daemon) < files_before + 16; });
    CHECK_MESSAGE(closed, open_files(daemon) << " files open, " << files_before << " before");
    CHECK(status_kib(daemon, "VmHWM") < 128 * 1024);
}

TEST_CASE("port: a thousand connections that say nothing do not keep the primary out") {
    Pair pair("CREATE TABLE t(x)");
    REQUIRE(pair.equal_soon());
    const pid_t daemon = pair.replica_daemon.pid();
    const size_t files_before = open_files(daemon);
    {
        std::vector<Stranger> strangers;
        for (int i = 0; i < 1000; ++i) {
            strangers.emplace_back(pair.replica_daemon.endpoint());
            if (i % 2 == 0) strangers.back().say(zmtp_hello().substr(0, 10));
        }
        Application(pair.primary).run("INSERT INTO t VALUES(1)");
        CHECK(pair.equal_soon());
        // The primary that comes anew gets in, too.
        REQUIRE(pair.engine.stop() == 0);
        pair.start_engine();
        Application(pair.primary).run("INSERT INTO t VALUES(2)");
        CHECK(pair.equal_soon());
    }
    const bool closed = eventually([&] { return open_files(daemon) < files_before + 16; });
    CHECK_MESSAGE(closed, open_files(daemon) << " files open, " << files_before << " before");
    CHECK(status_kib(daemon, "VmHWM") < 128 * 1024);
}

namespace {

constexpr uid_t kNobody = 65534;

// What a user without any permission to write sees.
std::string ask_as_nobody(const std::string& path, const std::string& sql) {
    return in_child([&] {
        if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) throw std::runtime_error("setuid");
        return StockSqlite(path).ask(sql);
    });
}

}  // namespace

TEST_CASE("permissions: a user without permission to write reads the replica while it changes") {
    if (::geteuid() != 0) return;  // only root can become somebody else
    Pair pair("CREATE TABLE t(x)");
    REQUIRE(::chmod(pair.dir.root().c_str(), 0755) == 0);
    Application writer(pair.primary);
    for (int i = 1; i <= 5; ++i) {
        writer.run("INSERT INTO t VALUES(1)");
        const std::string wanted = std::to_string(i);
        CHECK(eventually(
            [&] { return ask_as_nobody(pair.replica, "SELECT count(*) FROM t") == wanted; }));
    }
    CHECK(ask_as_nobody(pair.replica, "INSERT INTO t VALUES(2)").find("readonly") !=
          std::string::npos);
    CHECK(pair.equal_soon());
}
