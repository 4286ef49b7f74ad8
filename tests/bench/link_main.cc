// What one connection carries, and what its handshake costs: two Links of the product on two
// threads.
//
//   bench_link stream plain|curve    MB/s, one way, in messages of 256 KiB
//   bench_link handshake MEMBERS     us from connect to the first answer, median of 40
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "replicator/base/limits.h"
#include "replicator/base/random.h"
#include "replicator/control/identity.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"
#include "tests/bench/measure.h"

namespace {

using namespace tanist;
using std::chrono::steady_clock;

constexpr double kSeconds = 1.5;
constexpr uint64_t kWindow = 32;  // messages on their way, as the credit of a session allows
constexpr int kHandshakes = 40;

template <class T>
T must(Result<T> result) {
    if (result.ok()) return *std::move(result);
    std::fprintf(stderr, "bench_link: %s\n", result.error().message.c_str());
    std::_Exit(1);
}

void must(const Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "bench_link: %s\n", status.error().message.c_str());
    std::_Exit(1);
}

double seconds_since(steady_clock::time_point start) {
    return std::chrono::duration<double>(steady_clock::now() - start).count();
}

AllowedKey allowed(const Identity& identity) {
    return {identity.curve().open, identity.key(), Rights{}};
}

// Answers every kWindow / 2 messages with an empty one.
class Server {
  public:
    Server(bool secured, const Identity& own, const Admission& admission)
        : link_(must(Link::create())) {
        if (secured) must(link_->secure(own.curve(), admission));
        endpoint_ = must(secured ? link_->bind_secured("tcp://127.0.0.1:*")
                                 : link_->bind("tcp://127.0.0.1:*"));
        thread_ = std::thread([this] { serve(); });
    }
    ~Server() {
        stop_.store(true);
        thread_.join();
    }
    const std::string& endpoint() const { return endpoint_; }

  private:
    void serve() {
        const Bytes envelope(kEnvelopeBytes);
        uint64_t got = 0;
        while (!stop_.load()) {
            link_->wait({}, Nanos(20'000'000));
            while (auto message = link_->receive()) {
                ++got;
                const bool lone = message->body.bytes().size() < 2;
                if (lone || got % (kWindow / 2) == 0) link_->send(message->from, envelope, {});
            }
        }
    }
    std::unique_ptr<Link> link_;
    std::string endpoint_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

LinkId connect(Link& link, const Server& server, bool secured, const Identity& theirs) {
    return must(secured ? link.connect_secured(server.endpoint(), theirs.curve().open)
                        : link.connect(server.endpoint()));
}

double stream(bool secured) {
    const Identity server_key = must(Identity::create());
    const Identity client_key = must(Identity::create());
    Server server(secured, server_key, {{allowed(client_key)}, false});
    auto link = must(Link::create());
    if (secured) must(link->secure(client_key.curve(), {}));
    const LinkId to = connect(*link, server, secured, server_key);
    const Bytes envelope(kEnvelopeBytes);
    Bytes body(limits::kBodyBytesMax);
    random_bytes(body.data(), body.size());
    uint64_t sent = 0;
    uint64_t answered = 0;
    const auto start = steady_clock::now();
    while (seconds_since(start) < kSeconds) {
        while (sent < answered + kWindow && link->send(to, envelope, body)) ++sent;
        link->wait({}, Nanos(20'000'000));
        while (link->receive()) answered += kWindow / 2;
    }
    return static_cast<double>(answered * body.size()) / seconds_since(start) / 1e6;
}

double handshake(int members) {
    const Identity server_key = must(Identity::create());
    const Identity client_key = must(Identity::create());
    Admission admission;
    for (int i = 1; i < members; ++i) admission.keys.push_back(allowed(must(Identity::create())));
    admission.keys.push_back(allowed(client_key));
    Server server(true, server_key, admission);
    const Bytes envelope(kEnvelopeBytes);
    bench::Series series;
    for (int i = 0; i < kHandshakes; ++i) {
        auto link = must(Link::create());
        must(link->secure(client_key.curve(), {}));
        const auto start = steady_clock::now();
        const LinkId to = connect(*link, server, true, server_key);
        link->send(to, envelope, Bytes(1));
        while (!link->receive()) link->wait({}, Nanos(1'000'000'000));
        series.add(seconds_since(start) * 1e6);
    }
    return series.median();
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc == 3 ? argv[1] : "";
    const std::string how = argc == 3 ? argv[2] : "";
    if (what == "stream") {
        std::printf("%.1f\n", stream(how == "curve"));
    } else if (what == "handshake") {
        std::printf("%.1f\n", handshake(std::atoi(how.c_str())));
    } else {
        std::fprintf(stderr, "bench_link stream plain|curve, or handshake MEMBERS\n");
        return 2;
    }
    return 0;
}
