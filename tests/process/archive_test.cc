// archive_command of real engines: what arrives in the archive, and what becomes of the log while
// the command fails.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/daemons.h"
#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::set<std::string> names_in(const std::string& directory) {
    std::set<std::string> names;
    if (!fs::exists(directory)) return names;
    for (const auto& file : fs::directory_iterator(directory)) {
        const std::string name = file.path().filename().string();
        if (name.ends_with(".log") && name[0] == '0') names.insert(name);
    }
    return names;
}

// A primary with small segments and no replica. Its command copies while `open` is there.
struct Archived {
    TempDir dir;
    std::string db = dir.path("app.db");
    std::string archive = dir.path("archive");
    std::vector<std::string> more;  // options of the engine
    Daemon engine;

    Archived() {
        fs::create_directory(archive);
        StockSqlite(db).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        REQUIRE(shell(dir, kTanist + " init app.db").code == 0);
    }
    void start() { start_with("test -e " + archive + "/open && cp %p " + archive + "/%n"); }
    void start_with(const std::string& command) {
        std::vector<std::string> arguments = {"--db",
                                              db,
                                              "--log-segment-bytes",
                                              "64KiB",
                                              "--wal-bytes-max",
                                              "256KiB",
                                              "--archive-command",
                                              command};
        arguments.insert(arguments.end(), more.begin(), more.end());
        engine = Daemon(dir, arguments);
        REQUIRE_MESSAGE(engine.ready(), engine.said());
    }
    void open() const { write_text(archive + "/open", ""); }
    // About ten segments.
    void write() const {
        StockSqlite application(db);
        for (int i = 0; i < 150; ++i) {
            application.must("INSERT INTO t VALUES ('a plain sentence ' || hex(randomblob(1000)))");
        }
    }
    Json status() const {
        return Json::parse(shell(dir, kTanist + " status app.db --json").text, nullptr, false);
    }
    Json archived(const char* key) const {
        const Json json = status();
        return json.is_object() && json["archive"].is_object() ? json["archive"][key] : Json();
    }
    bool fails_soon(const std::string& why) const {
        return eventually([&] {
            const Json failing = archived("failing");
            return failing.is_string() && failing.get<std::string>().find(why) != std::string::npos;
        });
    }
    uint64_t end() const { return status()["log"]["end"].get<uint64_t>(); }
    // All is captured, and the log has let go of what is beyond 256 KiB: four full segments and
    // the last one. (The bytes in the status are those of a look before that.)
    bool rests() const {
        return eventually([&] { return end() >= 300 && names_in(Layout(db).log()).size() <= 5; });
    }
    // The archive has every record of the log up to what is in its last segment.
    bool complete_soon() const {
        return eventually([&] {
            const std::set<std::string> log = names_in(Layout(db).log());
            const std::set<std::string> there = names_in(archive);
            if (log.size() < 2 || there.empty()) return false;
            return *there.rbegin() == *std::prev(log.end(), 2) && archived("failing") == "";
        });
    }
    Json verified(const std::string& more_options = "") const {
        const Outcome outcome = shell(dir, kTanist + " log verify archive --json " + more_options);
        INFO(outcome.text);
        REQUIRE(outcome.code == 0);
        return Json::parse(outcome.text);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Archived,
                  "archive: closed segments arrive, equal to the log's, and are readable") {
    open();
    start();
    write();
    REQUIRE(complete_soon());
    const std::set<std::string> log = names_in(Layout(db).log());
    for (auto name = log.begin(); name != std::prev(log.end()); ++name) {
        CHECK_MESSAGE(file_text(archive + "/" + *name) == file_text(Layout(db).log() + "/" + *name),
                      *name);
    }
    const Json walk = verified();
    CHECK(walk["base"] == "0:0");
    CHECK(walk["segments"] == names_in(archive).size());
    CHECK(walk["segments"] >= 8);
    CHECK(shell(dir, kTanist + " status app.db").says("archive    through record"));
}

TEST_CASE_FIXTURE(Archived,
                  "archive: while the command fails nothing is skipped, and no commit waits") {
    start();
    write();
    REQUIRE(fails_soon("archive_command ended with 1"));
    // Nobody else needs these; the archive does.
    CHECK(status()["log"]["first"] == 1);
    engine.kill();
    write();
    start();
    REQUIRE(fails_soon("archive_command ended with 1"));
    CHECK(status()["log"]["first"] == 1);
    CHECK(shell(dir, kTanist + " doctor app.db").says("archive: 0000"));
    open();
    REQUIRE(complete_soon());
    CHECK(verified()["base"] == "0:0");
    CHECK(archived("lost") == 0);
    // What the present WAL and the one before it hold is kept all the same.
    CHECK(eventually([&] {
        write();
        return status()["log"]["first"] > 1;
    }));
    const std::string said = engine.said();
    const std::string line = "the log is not archived";
    CHECK(said.find(line) != std::string::npos);
    CHECK(said.find(line) == said.rfind(line));
}

TEST_CASE_FIXTURE(Archived, "archive: what was closed before a restart arrives without a commit") {
    start();
    write();
    REQUIRE(fails_soon("archive_command ended with 1"));
    REQUIRE(engine.stop() == 0);
    open();
    start();
    CHECK(complete_soon());
}

TEST_CASE_FIXTURE(Archived,
                  "archive: an engine that is killed goes on behind the last one that arrived") {
    open();
    const std::string command = "echo %n >> " + archive + "/handed && cp %p " + archive + "/%n";
    start_with(command);
    write();
    REQUIRE(complete_soon());
    const uint64_t through = archived("through").get<uint64_t>();
    REQUIRE(fs::exists(Layout(db).archived()));
    engine.kill();
    start_with(command);
    write();
    REQUIRE(complete_soon());
    CHECK(archived("through") > through);
    const std::string handed = file_text(archive + "/handed");
    const std::string first = "00000000000000000001.log";
    CHECK(handed.find(first) == handed.rfind(first));
    CHECK(verified()["base"] == "0:0");
}

TEST_CASE_FIXTURE(Archived,
                  "archive: beyond the hard bound the log lets go, counts it and says so") {
    more = {"--log-bytes-max", "256KiB"};
    start();
    write();
    write();
    CHECK(eventually([&] {
        const Json lost = archived("lost");
        return lost.is_number() && lost > 0;
    }));
    CHECK(engine.says("the archive has a gap"));
    // What it lets go of later makes another gap, behind what was archived.
    REQUIRE(rests());
    open();
    CHECK(complete_soon());
    CHECK(verified()["base"] != "0:0");
}

TEST_CASE_FIXTURE(Archived, "archive: a sealed log arrives sealed, and its key opens it") {
    more = {"--encrypt-at-rest", "true"};
    open();
    start();
    write();
    REQUIRE(complete_soon());
    for (const std::string& name : names_in(archive)) {
        CHECK(file_text(archive + "/" + name).find("plain sentence") == std::string::npos);
    }
    CHECK(shell(dir, kTanist + " log verify archive").code == 3);
    CHECK(verified("--key-file app.db-tanist/log.key")["base"] == "0:0");
}

TEST_CASE_FIXTURE(Archived,
                  "archive: a command that hangs holds neither commits nor the daemon's end") {
    const std::string pid_file = dir.path("pid");
    start_with(": %p; sleep 1000 & echo $! > " + pid_file + "; wait");
    write();
    REQUIRE(eventually([&] { return file_text(pid_file).size() > 1; }));
    write();
    CHECK(engine.stop() == 0);
    CHECK(eventually([&] { return ::kill(std::stoi(file_text(pid_file)), 0) != 0; }));
}

TEST_CASE("archive: the primary archives, and after a switchover its successor, by epochs") {
    Trio trio;
    const std::string archive = trio.dir.path("archive");
    for (TrioNode* node : {&trio.a, &trio.b, &trio.c}) {
        write_text(node->db + "-tanist/tanist.toml",
                   file_text(node->db + "-tanist/tanist.toml") +
                       "\nlog_segment_bytes = '64KiB'\narchive_command = 'mkdir -p " + archive +
                       "/%e && cp %p " + archive + "/%e/%n'\n");
        node->daemon.stop();
        node->start(trio.dir);
    }
    const auto epoch_of = [&](const TrioNode& node) {
        return std::to_string(trio.json("status " + node.db).value("epoch", uint64_t{0}));
    };
    const auto fill = [&](const TrioNode& node) {
        return eventually([&] {
            StockSqlite(node.db).ask("INSERT INTO t VALUES(hex(randomblob(2000)))");
            return names_in(archive + "/" + epoch_of(node)).size() > 3;
        });
    };
    REQUIRE(fill(trio.a));
    const std::string before = epoch_of(trio.a);
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    REQUIRE(eventually([&] { return trio.run("switchover a.db --to b").code == 0; }));
    // It will begin anew when it is the primary again.
    CHECK_FALSE(fs::exists(Layout(trio.a.db).archived()));
    REQUIRE(fill(trio.b));
    const std::string after = epoch_of(trio.b);
    CHECK(before != after);
    std::set<std::string> epochs;
    for (const auto& entry : fs::directory_iterator(archive)) {
        epochs.insert(entry.path().filename().string());
    }
    CHECK(epochs == std::set<std::string>{before, after});
    for (const std::string& epoch : epochs) {
        CHECK(shell(trio.dir, kTanist + " log verify archive/" + epoch).code == 0);
    }
}
