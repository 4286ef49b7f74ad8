// Elections and operators on a network that takes hundreds of milliseconds for each message, either
// way, now more and now less. Long form: TANIST_JITTER_SECONDS=600.
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

std::chrono::seconds how_long() {
    const char* asked = std::getenv("TANIST_JITTER_SECONDS");
    return std::chrono::seconds(asked == nullptr ? 20 : std::stoi(asked));
}

// A voter that others reach only over its slow road.
struct FarNode {
    std::string name;
    std::string db;
    std::string road;  // what others connect to
    Child carrier;
    Daemon daemon;
};

struct Delay {
    std::string least_ms, most_ms;
};

struct FarNodes {
    TempDir dir;
    Delay delay;
    std::vector<std::string> more;  // options of every daemon
    FarNode a, b, c;

    FarNodes(Delay of_each, std::vector<std::string> options)
        : delay(std::move(of_each)), more(std::move(options)) {
        StockSqlite(dir.path("a.db")).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        must("init a.db");
        for (auto [node, name] : {std::pair{&a, "a"}, {&b, "b"}, {&c, "c"}}) pave(*node, name);
        start(b);
        start(c);
        must("members add a.db ipc://" + b.road + " --name b");
        must("members add a.db ipc://" + c.road + " --name c");
        start(a);
    }
    void pave(FarNode& node, const std::string& name) const {
        node.name = name;
        node.db = dir.path(name + ".db");
        node.road = dir.path(name + ".road");
        ChildOptions options;
        options.talk = true;
        options.log = dir.path(name + ".road.log");
        const std::string seed(1, static_cast<char>('0' + name[0] - 'a' + 1));
        node.carrier = Child({TANIST_BUILD_DIR "/tests/process/slow_road", node.road,
                              dir.path(name + ".sock"), delay.least_ms, delay.most_ms, seed},
                             options);
        REQUIRE(node.carrier.read_line(std::chrono::seconds(60)) == "open");
        std::filesystem::create_directories(node.db + "-tanist");
        const std::string ack = name == "a" ? "ack = \"durable:1\"\n" : "";
        write_text(node.db + "-tanist/tanist.toml",
                   ack + "advertise = \"ipc://" + node.road + "\"\n");
    }
    void start(FarNode& node) const {
        std::vector<std::string> arguments = {"--db", node.db, "--listen",
                                              "ipc://" + dir.path(node.name + ".sock")};
        arguments.insert(arguments.end(), more.begin(), more.end());
        node.daemon = Daemon(dir, arguments);
        REQUIRE_MESSAGE(node.daemon.ready(), node.daemon.said());
    }
    Outcome run(const std::string& arguments) const {
        return shell(dir, kTanist + " " + arguments);
    }
    void must(const std::string& arguments) const {
        const Outcome outcome = run(arguments);
        REQUIRE_MESSAGE(outcome.code == 0, outcome.text);
    }
    nlohmann::json json(const std::string& arguments) const {
        const auto json = nlohmann::json::parse(run(arguments + " --json").text, nullptr, false);
        return json.is_object() ? json : nlohmann::json::object();
    }
    std::string role(const FarNode& node) const {
        return json("status " + node.db).value("role", "");
    }
    std::string story() const {
        std::string text;
        for (const FarNode* node : {&a, &b, &c}) {
            text += "\n" + run("status " + node->db).text + node->daemon.said();
        }
        return text;
    }
};

struct FarGroup : FarNodes {
    FarNode* first = nullptr;  // who was elected first: on such a road not always a

    FarGroup(Delay of_each, const std::string& profile)
        : FarNodes(std::move(of_each), {"--failover", "automatic", "--failover-profile", profile}) {
        REQUIRE_MESSAGE(eventually([&] { return (first = opened()) != nullptr; }), story());
        for (const FarNode* node : {&a, &b, &c}) {
            REQUIRE_MESSAGE(eventually([&] { return votes(*node); }), story());
        }
    }
    FarNode* opened() {
        for (FarNode* node : {&a, &b, &c}) {
            if (failover(*node).value("gate", "") == "open") return node;
        }
        return nullptr;
    }
    nlohmann::json failover(const FarNode& node) const {
        const auto none = nlohmann::json::object();
        const auto view = json("status " + node.db).value("failover", none);
        return view.is_object() ? view : none;
    }
    bool votes(const FarNode& node) const {
        const auto view = failover(node);
        return view.contains("holder") && view["holder"].is_object();
    }
};

// Nobody votes, and everybody knows everybody.
struct FarTrio : FarNodes {
    FarTrio() : FarNodes({"400", "400"}, {"--failover-profile", "wan"}) {
        for (const FarNode* node : {&b, &c}) {
            REQUIRE_MESSAGE(eventually([&] { return knows_all(*node); }), story());
            REQUIRE_MESSAGE(equal_soon(a, *node), story());
            // Pages are there before the sync's log is: until then it has nothing to be promoted
            // with.
            REQUIRE_MESSAGE(eventually([&] { return position(*node) == position(a); }), story());
        }
    }
    std::string position(const FarNode& node) const {
        return json("status " + node.db).value("position", "");
    }
    bool knows_all(const FarNode& node) const {
        const std::string members = file_text(node.db + "-tanist/members");
        const auto has = [&](const FarNode& n) {
            return members.find(n.road) != std::string::npos;
        };
        return has(a) && has(b) && has(c);
    }
    bool equal_soon(const FarNode& primary, const FarNode& replica) const {
        const std::string wanted = image_of(primary.db);
        return eventually([&] { return image_of(replica.db) == wanted; });
    }
};

}  // namespace

TEST_CASE("elections: nobody is replaced for 200 ms of jitter, with the default profile") {
    FarGroup group({"0", "200"}, "default");
    const auto epoch = group.failover(*group.first).value("epoch", uint64_t{0});
    REQUIRE(epoch > 0);
    Application app(group.first->db, {.parameters = "vfs=tanist", .extension = kExtension});
    app.run("PRAGMA tanist_ack='durable:1'");
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
    CHECK(group.failover(*group.first).value("role", "") == "primary");
    // The road is slow indeed.
    CHECK(*std::max_element(took.begin(), took.end()) >= std::chrono::milliseconds(100));
    MESSAGE(took.size() << " commits in " << how_long().count() << " s");
}

TEST_CASE("elections: a group whose members are 400 ms apart founds itself, with the wan profile") {
    const FarGroup group({"400", "400"}, "wan");
    Application app(group.first->db, {.parameters = "vfs=tanist", .extension = kExtension});
    CHECK_MESSAGE(!app.run("INSERT INTO t VALUES('far')").starts_with("error"), group.story());
}

TEST_CASE("elections: a promotion's plan asks members that are 400 ms away") {
    const FarGroup group({"400", "400"}, "wan");
    const std::string other = group.first == &group.b ? "c.db" : "b.db";
    const auto plan = group.json("promote " + other + " --dry-run")["plan"];
    CHECK_MESSAGE(plan.value("reached", 0) == 3, plan.dump(1));
    CHECK(plan.value("voters", 0) == 3);
}

TEST_CASE_FIXTURE(FarTrio, "promote: a member that is 400 ms away takes over, and says so") {
    // That b has everything is heard a moment later.
    REQUIRE_MESSAGE(eventually([&] { return run("switchover a.db --to b").code == 0; }), story());
    CHECK(role(b) == "primary");
    StockSqlite(b.db).must("INSERT INTO t VALUES('far')");
    CHECK_MESSAGE(equal_soon(b, a), story());
    // Not to itself, whatever address it was told of.
    CHECK(json("status " + b.db)["replicas"].size() == 2);
}

// It would take writes that nobody keeps until it meets the new one.
TEST_CASE_FIXTURE(FarTrio,
                  "promote: an old primary asks members that are 400 ms away as it starts") {
    a.daemon.kill();
    must("promote b.db --yes");
    start(a);
    CHECK(role(a) == "replica");
    CHECK_MESSAGE(equal_soon(b, a), story());
}
