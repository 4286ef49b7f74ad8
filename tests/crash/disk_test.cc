// The test of the test: what the layer writes down, and what a cut makes of it. If these fail, a
// green crash matrix means nothing.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "tests/crash/machine.h"
#include "tests/support/process/child.h"
#include "tests/support/temp_dir.h"

namespace tanist::crash {
namespace {

constexpr size_t kBytes = 1536;  // three sectors

struct Probe {
    TempDir dir;
    std::string root = dir.path("root");
    Machine machine{root, dir.path("machine"), TANIST_CRASH_DIR "/crash_layer.so"};
    Stakes stakes;

    Probe() {
        std::ofstream(root + "/f") << std::string(kBytes, '0');
        machine.boot(true);
    }
    // Runs the steps; true when they ended as they should.
    bool run(const std::string& steps) {
        testing::ChildOptions how;
        how.environment = machine.environment(Role::writer);
        return testing::run({TANIST_CRASH_DIR "/crash_probe", root, steps}, how) == 128 + SIGKILL;
    }
    std::optional<std::string> content(const std::string& name) const {
        std::ifstream file(root + "/" + name, std::ios::binary);
        if (!file) return std::nullopt;
        return std::string(std::istreambuf_iterator<char>(file), {});
    }
    void cut_power(uint64_t seed) {
        testing::Dice dice(seed);
        REQUIRE(machine.lose_power(dice, stakes) == "");
    }
};

// What many cuts made of one file after the same steps; "-" where it was gone.
std::set<std::string> outcomes(const std::string& steps, const std::string& name) {
    std::set<std::string> found;
    for (uint64_t seed = 0; seed < 60; ++seed) {
        Probe probe;
        REQUIRE(probe.run(steps));
        probe.cut_power(seed);
        found.insert(probe.content(name).value_or("-"));
    }
    return found;
}

std::string all(char c) { return std::string(kBytes, c); }

}  // namespace

TEST_CASE("crash layer: what was synced survives every cut") {
    CHECK(outcomes("ws", "f") == std::set<std::string>{all('1')});
}

TEST_CASE("crash layer: a sync through a copy of the descriptor counts") {
    CHECK(outcomes("wS", "f") == std::set<std::string>{all('1')});
}

TEST_CASE("crash layer: a descriptor is not taken for a file of the same number before it") {
    CHECK(outcomes("wFS", "f") == std::set<std::string>{all('1')});
}

TEST_CASE("crash layer: an unsynced write is kept, lost, or a mixture with garbage") {
    const std::set<std::string> found = outcomes("wsw", "f");
    CHECK(found.contains(all('1')));
    CHECK(found.contains(all('2')));
    const auto whole_sectors = [](const std::string& content) {
        return content.size() == kBytes && content[0] != content[512] &&
               content.substr(0, 512) == std::string(512, content[0]) &&
               content.substr(512, 512) == std::string(512, content[512]);
    };
    CHECK(std::any_of(found.begin(), found.end(), whole_sectors));
    const auto garbled = [](const std::string& content) {
        return content.find_first_not_of("12") != std::string::npos;
    };
    CHECK(std::any_of(found.begin(), found.end(), garbled));
}

TEST_CASE("crash layer: a durable write survives, and the pages beside it are still at stake") {
    const std::set<std::string> found = outcomes("wW", "f");
    for (const std::string& content : found) {
        REQUIRE(content.size() == 5001);
        CHECK(content.back() == '2');
    }
    CHECK(found.size() > 2);
}

TEST_CASE("crash layer: an unsynced truncation may be undone") {
    const std::set<std::string> found = outcomes("wst", "f");
    CHECK(found == std::set<std::string>{all('1'), std::string(100, '1')});
}

TEST_CASE("crash layer: a name is safe once its directory was synced, not before") {
    CHECK(outcomes("cd", "new") == std::set<std::string>{""});
    CHECK(outcomes("cD", "new") == std::set<std::string>{""});
    CHECK(outcomes("c", "new") == std::set<std::string>{"", "-"});
    CHECK(outcomes("u", "f") == std::set<std::string>{all('0'), "-"});
    CHECK(outcomes("ud", "f") == std::set<std::string>{"-"});
    CHECK(outcomes("rd", "g") == std::set<std::string>{all('0')});
    CHECK(outcomes("r", "g") == std::set<std::string>{all('0'), "-"});
}

TEST_CASE("crash layer: later names are lost before earlier ones") {
    for (uint64_t seed = 0; seed < 30; ++seed) {
        Probe probe;
        REQUIRE(probe.run("cr"));
        probe.cut_power(seed);
        if (probe.content("g")) CHECK(probe.content("new"));
        CHECK(probe.content("f").has_value() != probe.content("g").has_value());
    }
}

TEST_CASE("crash layer: one seed gives one image") {
    std::set<std::string> found;
    for (int i = 0; i < 5; ++i) {
        Probe probe;
        REQUIRE(probe.run("wswwt"));
        probe.cut_power(7);
        found.insert(*probe.content("f"));
    }
    CHECK(found.size() == 1);
}

TEST_CASE("crash layer: the n-th step is the last, and does not happen") {
    Probe probe;
    probe.machine.arm({Role::writer, Blow::kill, kStepFile, 3});
    REQUIRE(probe.run("wswww"));
    CHECK(probe.machine.struck());
    CHECK(probe.machine.struck_at() == "write f");
    CHECK(probe.content("f")->substr(0, 512) == std::string(512, '1'));
}

TEST_CASE("crash layer: after a cut nothing is written any more, by nobody") {
    Probe probe;
    probe.machine.arm({Role::writer, Blow::cut_power, kStepFile, 2});
    REQUIRE(probe.run("ws"));
    REQUIRE(probe.machine.struck());
    probe.machine.disarm();
    REQUIRE(probe.run("wwsws"));  // dies at its first step
    probe.cut_power(1);  // keeps, drops or garbles the first write, and nothing of the others
    CHECK(probe.content("f")->find_first_of("23") == std::string::npos);
}

TEST_CASE("crash layer: a machine that starts again has another boot id") {
    Probe probe;
    const std::string before = *probe.content("../machine/boot_id");
    probe.cut_power(1);
    CHECK(*probe.content("../machine/boot_id") != before);
}

}  // namespace tanist::crash
