// Strangers at the door of a daemon with keys: connections that say nothing, handshakes that stop
// half way, garbage, frames of absurd length. The daemon keeps serving its members, and what the
// strangers cost is given back. TANIST_FLOOD=10000 is the long form; the figures are printed.
#include <arpa/inet.h>
#include <dirent.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdlib>
#include <regex>

#include "tests/support/daemons.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

int strangers() {
    const char* wanted = std::getenv("TANIST_FLOOD");
    return wanted == nullptr ? 300 : std::atoi(wanted);
}

constexpr int kServedTimes = 400;
constexpr size_t kOwnDescriptors = 16;

size_t descriptors_of(pid_t pid) {
    size_t count = 0;
    DIR* directory = ::opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
    if (directory == nullptr) return 0;
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count;
}

// CPU time of the process so far, in hundredths of a second.
long ticks_of(pid_t pid) {
    const std::string stat = file_text("/proc/" + std::to_string(pid) + "/stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    long user = 0;
    long system = 0;
    fields >> user >> system;
    return user + system;
}

long kib_of(pid_t pid, const std::string& name) {
    const std::string status = file_text("/proc/" + std::to_string(pid) + "/status");
    std::smatch found;
    if (!std::regex_search(status, found, std::regex(name + ":\\s+(\\d+)"))) return 0;
    return std::atol(found[1].str().c_str());
}

// ZMTP 3.0, as a client that wants CURVE begins.
std::string greeting() {
    std::string bytes("\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE", 17);
    bytes.resize(64, '\0');
    return bytes;
}

// A connection of somebody without keys.
class Stranger {
  public:
    Stranger(uint16_t port, const std::string& says, uint32_t from = INADDR_LOOPBACK) {
        fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in own{};
        own.sin_family = AF_INET;
        own.sin_addr.s_addr = htonl(from);
        (void)::bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof own);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
                     errno == EINPROGRESS;
        says_ = says;
    }
    Stranger(Stranger&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)),
          connected_(other.connected_),
          says_(std::move(other.says_)),
          said_(other.said_) {}
    Stranger& operator=(Stranger&& other) noexcept {
        std::swap(fd_, other.fd_);
        connected_ = other.connected_;
        says_.swap(other.says_);
        said_ = other.said_;
        return *this;
    }
    ~Stranger() {
        if (fd_ >= 0) ::close(fd_);
    }
    bool made() const { return fd_ >= 0 && connected_; }
    // The daemon has put it out. One that got no answer yet goes on waiting for it.
    bool gone() {
        char block[512];
        for (;;) {
            const ssize_t got = ::recv(fd_, block, sizeof block, MSG_DONTWAIT);
            if (got > 0) continue;
            if (got == 0 || (errno != EAGAIN && errno != ENOTCONN)) return true;
            break;
        }
        if (said_ < says_.size()) {
            const ssize_t sent = ::send(fd_, says_.data() + said_, says_.size() - said_,
                                        MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent > 0) said_ += static_cast<size_t>(sent);
        }
        return false;
    }

  private:
    int fd_ = -1;
    bool connected_ = false;
    std::string says_;
    size_t said_ = 0;
};

// A primary and a replica that have joined by keys.
struct Joined {
    TempDir dir;
    std::string db = dir.path("app.db");
    std::string replica = dir.path("b.db");
    Daemon daemon;
    Daemon engine;
    std::string address;  // with the key, without the invitation
    uint16_t port = 0;
    int value = 0;

    Joined() {
        StockSqlite(db).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        REQUIRE(shell(dir, kTanist + " init app.db").code == 0);
        daemon = Daemon(dir, {"--db", replica, "--listen", "tcp://127.0.0.1:*", "--curve", "true"});
        REQUIRE(daemon.ready());
        while (address.empty()) {
            std::optional<std::string> line = daemon.read_line();
            REQUIRE(line);
            std::smatch found;
            if (std::regex_search(*line, found, std::regex("tanist://[^']*"))) address = found[0];
        }
        const Outcome added = shell(dir, kTanist + " members add app.db '" + address + "'");
        REQUIRE_MESSAGE(added.code == 0, added.text);
        address.resize(address.find('?'));
        engine = Daemon(dir, {"--db", db});
        REQUIRE(engine.ready());
        const std::string& endpoint = daemon.endpoint();
        port = static_cast<uint16_t>(std::atoi(endpoint.c_str() + endpoint.rfind(':') + 1));
        REQUIRE(serves());
    }
    // A commit made now reaches the replica.
    bool serves() {
        StockSqlite(db).must("INSERT INTO t VALUES(" + std::to_string(++value) + ")");
        return eventually([&] {
            return StockSqlite(replica).ask("SELECT max(x) FROM t") == std::to_string(value);
        });
    }
    // `count` connections at once that say this and then nothing, while a commit is made.
    void flood(const char* name, const std::string& says) {
        const pid_t pid = daemon.pid();
        const long rss = kib_of(pid, "VmRSS");
        const size_t descriptors = descriptors_of(pid);
        const long ticks = ticks_of(pid);
        size_t most = 0;
        {
            std::vector<Stranger> crowd;
            for (int i = 0; i < strangers(); ++i) crowd.emplace_back(port, says);
            for (const Stranger& stranger : crowd) REQUIRE(stranger.made());
            // Members are served, again and again, until the last one is put out; with more
            // strangers than the door takes at once, that many times are enough.
            for (int i = 0; i < kServedTimes && !crowd.empty(); ++i) {
                std::erase_if(crowd, [](Stranger& stranger) { return stranger.gone(); });
                REQUIRE(serves());
                most = std::max(most, descriptors_of(pid));
            }
        }
        // The daemon may have 1024 by default. The door shuts at half of them, and some are on
        // their way then.
        CHECK(most < 900);
        // A few are the daemon's own, for a log segment or a connection that was made anew.
        CHECK(eventually([&] { return descriptors_of(pid) <= descriptors + kOwnDescriptors; }));
        CHECK(serves());
        const long grown = kib_of(pid, "VmRSS") - rss;
        std::printf(
            "%s: %d strangers, VmRSS %ld KiB grew by %ld KiB (peak VmHWM %ld), descriptors "
            "%zu, at most %zu, CPU %ld ms\n",
            name, strangers(), rss, grown, kib_of(pid, "VmHWM"), descriptors, most,
            (ticks_of(pid) - ticks) * 10);
        CHECK(grown < 64 * 1024);
        CHECK(daemon.runs());
    }
};

}  // namespace

namespace {

void allow_descriptors(rlim_t count) {
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = std::min(count, limit.rlim_max);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// The daemon has the descriptors that Linux gives by default; the crowd as many as it needs.
struct Flooded {
    struct Descriptors {
        explicit Descriptors(rlim_t count) { allow_descriptors(count); }
    };
    Descriptors of_the_daemon{1024};
    Joined joined;
    Descriptors of_the_crowd{RLIM_INFINITY};
};

}  // namespace

// More than the door holds, so that it would be shut for everybody.
TEST_CASE("flood: an address that fills the door is barred, and others get in meanwhile") {
    constexpr size_t kCrowd = 3000;
    constexpr uint32_t kElsewhere = INADDR_LOOPBACK + 1;
    constexpr size_t kShare = 1024 / 2 / 4;
    Flooded flooded;
    Joined& joined = flooded.joined;
    std::vector<Stranger> crowd;
    size_t most = 0;
    for (int i = 0; i < 5; ++i) {
        std::erase_if(crowd, [](Stranger& stranger) { return stranger.gone(); });
        while (crowd.size() < kCrowd) {
            crowd.emplace_back(joined.port, greeting().substr(0, 11), kElsewhere);
        }
        // Everybody says what he has to say, until the door takes no more.
        size_t there = 0;
        int same = 0;
        REQUIRE(eventually([&] {
            for (Stranger& stranger : crowd) (void)stranger.gone();
            const size_t now = descriptors_of(joined.daemon.pid());
            same = now == there ? same + 1 : 0;
            there = now;
            most = std::max(most, now);
            return same >= 20;
        }));
        const auto answered = [&] {
            return shell(joined.dir, kTanist + " status " + joined.address + " --as app.db").code ==
                   0;
        };
        // The bar comes with the door's next look. Who outruns that finds the whole door shut for
        // a moment, and so does everybody.
        CHECK(eventually(answered));
    }
    CHECK(eventually([&] {
        return joined.daemon.said().find("too many connections are barred") != std::string::npos;
    }));
    std::printf("one address: %zu strangers, at most %zu descriptors\n", kCrowd, most);
    CHECK(most > kShare);
    CHECK(most < 1024 * 3 / 4);
    crowd.clear();
    CHECK(joined.serves());
}

TEST_CASE("flood: strangers of every kind cost a bounded amount, and members are served") {
    Flooded flooded;
    Joined& joined = flooded.joined;
    joined.flood("silent connections", "");
    joined.flood("handshakes that stop after the greeting", greeting());
    joined.flood("garbage", std::string(4096, '\x5a') + std::string(60000, '\xa5'));
    // A command frame that says it is 1 TiB long, in the middle of the handshake.
    joined.flood("oversized frames",
                 greeting() + std::string("\x06\0\0\1\0\0\0\0\0", 9) + std::string(4000, 'x'));
    // Half a greeting.
    joined.flood("slow greetings", greeting().substr(0, 11));
}
