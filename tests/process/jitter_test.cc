// Elections on a network that takes up to 200 ms for each message, either way, now more and now
// less. Long form: TANIST_JITTER_SECONDS=600.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support/application.h"
#include "tests/support/daemons.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* kDelayMs = "200";

std::chrono::seconds how_long() {
    const char* asked = std::getenv("TANIST_JITTER_SECONDS");
    return std::chrono::seconds(asked == nullptr ? 20 : std::stoi(asked));
}

// A voter that others reach only over its slow road.
struct FarNode {
    std::string db;
    std::string road;  // what others connect to
    Child carrier;
    Daemon daemon;
};

struct FarGroup {
    TempDir dir;
    FarNode a, b, c;

    FarGroup() {
        StockSqlite(dir.path("a.db")).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        must("init a.db");
        start(b, "b", "2");
        start(c, "c", "3");
        must("members add a.db ipc://" + b.road + " --name b");
        must("members add a.db ipc://" + c.road + " --name c");
        start(a, "a", "1");
        REQUIRE_MESSAGE(eventually([&] { return failover(a).value("gate", "") == "open"; }),
                        story());
        REQUIRE_MESSAGE(eventually([&] { return votes(b) && votes(c); }), story());
    }
    void start(FarNode& node, const std::string& name, const std::string& seed) {
        node.db = dir.path(name + ".db");
        node.road = dir.path(name + ".road");
        const std::string socket = dir.path(name + ".sock");
        ChildOptions options;
        options.talk = true;
        options.log = dir.path(name + ".road.log");
        node.carrier =
            Child({TANIST_BUILD_DIR "/tests/process/slow_road", node.road, socket, kDelayMs, seed},
                  options);
        REQUIRE(node.carrier.read_line(std::chrono::seconds(60)) == "open");
        std::filesystem::create_directories(node.db + "-tanist");
        const std::string ack = name == "a" ? "ack = \"durable:1\"\n" : "";
        write_text(node.db + "-tanist/tanist.toml",
                   ack + "advertise = \"ipc://" + node.road + "\"\n");
        node.daemon = Daemon(dir, {"--db", node.db, "--listen", "ipc://" + socket, "--failover",
                                   "automatic", "--failover-profile", "default"});
        REQUIRE_MESSAGE(node.daemon.ready(), node.daemon.said());
    }
    void must(const std::string& arguments) const {
        const Outcome outcome = shell(dir, kTanist + " " + arguments);
        REQUIRE_MESSAGE(outcome.code == 0, outcome.text);
    }
    nlohmann::json failover(const FarNode& node) const {
        const Outcome said = shell(dir, kTanist + " status " + node.db + " --json");
        const auto json = nlohmann::json::parse(said.text, nullptr, false);
        const auto none = nlohmann::json::object();
        if (!json.is_object() || !json.contains("failover")) return none;
        return json["failover"].is_object() ? json["failover"] : none;
    }
    bool votes(const FarNode& node) const {
        const auto view = failover(node);
        return view.contains("holder") && view["holder"].is_object();
    }
    std::string story() const {
        std::string text;
        for (const FarNode* node : {&a, &b, &c}) {
            text += "\n" + shell(dir, kTanist + " status " + node->db).text + node->daemon.said();
        }
        return text;
    }
};

}  // namespace

TEST_CASE("elections: nobody is replaced for 200 ms of jitter, with the default profile") {
    FarGroup group;
    const auto epoch = group.failover(group.a).value("epoch", uint64_t{0});
    REQUIRE(epoch > 0);
    Application app(group.a.db, {.parameters = "vfs=tanist", .extension = kExtension});
    std::vector<Clock::duration> took;
    size_t refused = 0;
    for (const auto end = Clock::now() + how_long(); Clock::now() < end;) {
        const auto began = Clock::now();
        refused += app.run("INSERT INTO t VALUES('far')").starts_with("error") ? 1 : 0;
        took.push_back(Clock::now() - began);
    }
    CHECK_MESSAGE(refused == 0, group.story());
    for (const FarNode* node : {&group.a, &group.b, &group.c}) {
        const uint64_t last = group.failover(*node).value("epoch", uint64_t{0});
        CHECK_MESSAGE(last == epoch, group.story());
    }
    CHECK(group.failover(group.a).value("role", "") == "primary");
    // The road is slow indeed.
    CHECK(*std::max_element(took.begin(), took.end()) >= std::chrono::milliseconds(100));
    MESSAGE(took.size() << " commits in " << how_long().count() << " s");
}
