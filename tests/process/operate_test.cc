// The operator's commands beside a running cluster.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/application.h"
#include "tests/support/daemons.h"
#include "tests/support/in_child.h"

using namespace tanist;
using namespace tanist::testing;
using Json = nlohmann::json;

namespace {

Json json_of(const Pair& pair, const std::string& command) {
    const Outcome outcome = shell(pair.dir, kTanist + " " + command + " --json");
    Json json = Json::parse(outcome.text, nullptr, false);
    REQUIRE_MESSAGE(!json.is_discarded(), outcome.text);
    return json;
}

}  // namespace

TEST_CASE("log: dump, verify and stat of a log that an engine is writing") {
    Pair pair("CREATE TABLE t(x)");
    Application writer(pair.primary);
    for (int i = 0; i < 10; ++i) writer.run("INSERT INTO t VALUES(1)");
    REQUIRE(pair.equal_soon());
    const Json primary = json_of(pair, "log verify app.db");
    const Json replica = json_of(pair, "log verify replica.db");
    CHECK(primary["end"] == replica["end"]);
    CHECK(primary["chain"] == replica["chain"]);
    const Json stat = json_of(pair, "log stat app.db-tanist/log");
    CHECK(stat["records"].get<int>() >= 10);
    CHECK(stat["bytes"].get<int>() > 10 * 4096);
    const Outcome dump = shell(pair.dir, kTanist + " log dump app.db");
    CHECK(dump.code == 0);
    CHECK(dump.says(primary["end"].get<std::string>() + " "));
    CHECK(dump.says("tail: clean"));
}

TEST_CASE("members: one that is added is brought up to date, one that is removed is left alone") {
    Pair pair("CREATE TABLE t(x)");
    const std::string second = pair.dir.path("second.db");
    Daemon daemon(pair.dir, {"--db", second, "--listen", "tcp://127.0.0.1:*"});
    REQUIRE(daemon.ready());
    REQUIRE(shell(pair.dir, kTanist + " members add app.db " + daemon.endpoint()).code == 0);
    Application writer(pair.primary);
    writer.run("INSERT INTO t VALUES(1)");
    REQUIRE(pair.equal_soon());
    REQUIRE(eventually([&] { return image_of(second) == image_of(pair.replica); }));
    REQUIRE(shell(pair.dir, kTanist + " members remove app.db " + daemon.endpoint()).code == 0);
    CHECK(eventually([&] { return json_of(pair, "status app.db")["replicas"].size() == 1; }));
    CHECK(eventually([&] {
        return json_of(pair, "status " + daemon.endpoint())["state"].get<std::string>().find(
                   "waiting") != std::string::npos;
    }));
    writer.run("INSERT INTO t VALUES(2)");
    REQUIRE(pair.equal_soon());
    CHECK(StockSqlite(second).ask("SELECT count(*) FROM t") == "1");
}

TEST_CASE("status --watch: one line each second where there is no terminal") {
    Pair pair("CREATE TABLE t(x)");
    // The databases are equal a moment before the primary hears of it.
    REQUIRE(eventually(
        [&] { return json_of(pair, "status app.db")["replicas"][0]["state"] == "streaming"; }));
    ChildOptions options;
    options.talk = true;
    Child watch({kTanist, "status", pair.primary, "--watch"}, options);
    for (int i = 0; i < 2; ++i) {
        const auto line = watch.read_line(std::chrono::seconds(30));
        REQUIRE(line);
        CHECK(line->find("primary 1:") == 0);
        CHECK(line->find("engine running") != std::string::npos);
        CHECK(line->find(pair.replica_daemon.endpoint() + " streaming") != std::string::npos);
        CHECK(line->find('\033') == std::string::npos);
    }
    watch.signal(SIGTERM);
    CHECK(watch.wait_end(std::chrono::seconds(30)));
}

TEST_CASE("status --watch: says that the engine has gone, and ends with its reader") {
    Pair pair("CREATE TABLE t(x)");
    pair.engine.kill();
    const Outcome watch =
        shell(pair.dir, "bash -c '" + kTanist + " status app.db --watch | head -1'");
    CHECK(watch.code == 0);
    CHECK(watch.says("engine stopped"));
    CHECK(shell(pair.dir, kTanist + " status app.db").says("not running"));
}

TEST_CASE("log_level: what is below it is not written") {
    TempDir dir;
    Daemon chatty(dir, {"--db", dir.path("a.db"), "--listen", "tcp://127.0.0.1:*"});
    Daemon terse(
        dir, {"--db", dir.path("b.db"), "--listen", "tcp://127.0.0.1:*", "--log-level", "warning"});
    REQUIRE(chatty.ready());
    REQUIRE(terse.ready());
    CHECK(chatty.stop() == 0);
    CHECK(terse.stop() == 0);
    CHECK(chatty.says(" info stopped"));
    CHECK(terse.said() == "");
}

TEST_CASE("journal mode: an engine that leaves a rollback journal says so") {
    TempDir dir;
    StockSqlite(dir.path("app.db")).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    REQUIRE(shell(dir, kTanist + " init app.db").code == 0);
    StockSqlite(dir.path("app.db")).must("PRAGMA journal_mode=DELETE");
    Daemon engine(dir, {"--db", dir.path("app.db")});
    REQUIRE(engine.ready());
    CHECK(engine.says("warning switched to WAL, which replication needs database="));
    CHECK(shell(dir, kTanist + " status app.db").says("was in journal mode 'delete'"));
    CHECK(shell(dir, kTanist + " doctor app.db").says("was in journal mode 'delete'"));
}

TEST_CASE("stopped engine: the application writes on, status and doctor name the process") {
    Pair pair("CREATE TABLE t(x)");
    REQUIRE(pair.equal_soon());
    const std::string process = "process " + std::to_string(pair.engine.pid());
    ::kill(pair.engine.pid(), SIGSTOP);
    Application(pair.primary).run("INSERT INTO t VALUES(1)");
    CHECK(eventually([&] {
        const Outcome status = shell(pair.dir, kTanist + " status app.db");
        return status.says("silent for") && status.says(process + " has done nothing for");
    }));
    CHECK_FALSE(json_of(pair, "status app.db")["engine"]["answers"].get<bool>());
    const Outcome doctor = shell(pair.dir, kTanist + " doctor app.db");
    CHECK(doctor.code == 1);
    CHECK(doctor.says("fail engine: the engine, " + process));
    ::kill(pair.engine.pid(), SIGCONT);
    CHECK(pair.equal_soon());
    CHECK(eventually(
        [&] { return json_of(pair, "status app.db")["engine"]["answers"].get<bool>(); }));
}

TEST_CASE("SIGTERM: the engine ends when what was committed is applied on the replica") {
    Pair pair("CREATE TABLE t(x)");
    // A sync that is not over as far as the engine knows is not waited for.
    REQUIRE(eventually(
        [&] { return json_of(pair, "status app.db")["replicas"][0]["state"] == "streaming"; }));
    ::kill(pair.replica_daemon.pid(), SIGSTOP);
    // More than may be in flight, so that it cannot have left before.
    Application(pair.primary).run("INSERT INTO t VALUES(randomblob(9000000))");
    auto control = Control::open(Layout(pair.primary).control(), false, false);
    ::kill(pair.engine.pid(), SIGTERM);
    const auto draining = static_cast<uint32_t>(EngineState::draining);
    CHECK(eventually([&] { return (*control)->engine_state.load() == draining; },
                     std::chrono::seconds(5)));
    ::kill(pair.replica_daemon.pid(), SIGCONT);
    CHECK(pair.engine.wait() == 0);
    CHECK(pair.ask_replica("SELECT count(*) FROM t") == "1");
}

// When one copy closes the file, POSIX gives up the locks of the other.
TEST_CASE("doctor: a process with two copies of SQLite is named") {
    TempDir dir;
    StockSqlite(dir.path("app.db")).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    Dl_info own{};
    REQUIRE(::dladdr(reinterpret_cast<void*>(&sqlite3_open), &own) != 0);
    std::filesystem::copy_file(own.dli_fname, dir.path("second-sqlite.so"));
    const std::string said = in_child([&] {
        const StockSqlite holds(dir.path("app.db"));
        if (::dlopen(dir.path("second-sqlite.so").c_str(), RTLD_NOW) == nullptr) {
            throw std::runtime_error("dlopen");
        }
        return shell(dir, kTanist + " doctor app.db").text;
    });
    CHECK_MESSAGE(said.find("and 2 copies of SQLite in it") != std::string::npos, said);
    CHECK(said.find("second-sqlite.so") != std::string::npos);
}
