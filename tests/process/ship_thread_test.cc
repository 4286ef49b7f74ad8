// ship=thread: the engine inside the application. Each application is a child of the test, because
// the engine's threads would stay in the test itself.
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "tests/support/cluster.h"
#include "tests/support/in_child.h"
#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

constexpr const char* kCount = "SELECT count(*) FROM t";

// The signals that a thread of this process blocks.
uint64_t blocked_by(const std::string& thread) {
    std::ifstream file("/proc/self/task/" + thread + "/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("SigBlk:")) return std::stoull(line.substr(7), nullptr, 16);
    }
    return 0;
}

// "quiet", or which thread would take a signal that the application has a handler for.
std::string who_takes_signals() {
    uint64_t wanted = 0;
    for (int number : {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCHLD}) {
        wanted |= 1ull << (number - 1);
    }
    int engine_threads = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
        const std::string thread = entry.path().filename().string();
        if (thread == std::to_string(::getpid())) continue;
        ++engine_threads;
        if ((blocked_by(thread) & wanted) != wanted) return "thread " + thread + " takes signals";
    }
    return engine_threads > 0 ? "quiet" : "there is no thread";
}

}  // namespace

TEST_CASE("ship=thread: the engine runs in the application and ends with it") {
    Cluster cluster;
    const std::string shown = cluster.shell(
        "CREATE TABLE t(x); INSERT INTO t VALUES(1); PRAGMA tanist_position;"
        "SELECT 'alive ' || json_extract(tanist_status(), '$.engine.alive');",
        "&ship=thread");
    CHECK_MESSAGE(shown.find("alive 1") != std::string::npos, shown);
    CHECK(cluster.engine_pid() == 0);
}

// A handler that runs on a thread of ours would run on a stack and at a moment that nobody expects.
TEST_CASE("ship=thread: the engine's threads take no signal, the application's mask stays") {
    Cluster cluster;
    CHECK(in_child([&] {
              App app(cluster.uri("&ship=thread"));
              app.run("CREATE TABLE t(x)");
              app.ask("PRAGMA tanist_position");
              if (blocked_by(std::to_string(::getpid())) != 0) return std::string("mask changed");
              return who_takes_signals();
          }) == "quiet");
}

// The child has inherited the flock of ship.lock with its descriptor, and must not keep it.
TEST_CASE("ship=thread: when the parent of a fork has gone, the child gets an engine of its own") {
    Cluster cluster;
    const std::string uri = cluster.uri("&ship=thread");
    const std::string position = in_child([&] {
        App app(uri);
        app.run("CREATE TABLE t(x); INSERT INTO t VALUES(1)");
        app.ask("PRAGMA tanist_position");
        const pid_t parent = ::getpid();
        if (::fork() != 0) ::_exit(0);
        eventually([&] { return ::getppid() != parent; });
        App mine(uri);
        mine.run("INSERT INTO t VALUES(2)");
        const std::string answer = mine.ask("PRAGMA tanist_position");
        eventually([&] { return cluster.on_replica(kCount) == "2"; });
        return answer;
    });
    CHECK_MESSAGE(position.find(':') == 1, position);
    CHECK(cluster.replica_answers(kCount, "2"));
}

// The application is back, and with it the engine of a primary that another has replaced.
TEST_CASE("ship=thread: an epoch refused is writes refused, at once, in every process, for good") {
    Trio trio;
    trio.a.daemon.kill();
    trio.must("promote b.db --yes");
    const std::string uri = "file:" + trio.a.db + "?vfs=tanist&ship=thread";
    CHECK(in_child([&] {
              App app(uri);
              const bool refused =
                  eventually([&] { return app.run("INSERT INTO t VALUES('lost')") != SQLITE_OK; });
              if (!refused) return std::string("it writes");
              if (!eventually([&] { return !trio.a.writes(); })) return std::string("stock writes");
              return app.ask("INSERT INTO t VALUES('late')");
          }) == "attempt to write a readonly database");
    CHECK(trio.role(trio.a) == "fenced");
    CHECK(in_child([&] {
              App app(uri);
              return app.ask("INSERT INTO t VALUES('later') RETURNING x");
          }) == "attempt to write a readonly database");
    // What it had written before is not lost either.
    REQUIRE(trio.b.writes());
    trio.a.start(trio.dir);
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
    CHECK(trio.role(trio.a) == "replica");
}

TEST_CASE("ship=thread: a primary that was replaced learns it before it serves a write") {
    Trio trio;
    trio.a.daemon.kill();
    trio.must("promote b.db --yes");
    REQUIRE(trio.b.writes());
    CHECK(in_child([&] {
              App app("file:" + trio.a.db + "?vfs=tanist&ship=thread");
              const std::string answer = app.ask("INSERT INTO t VALUES('never') RETURNING x");
              return eventually([&] { return !trio.a.writes(); }) ? answer : "stock writes";
          }) == "attempt to write a readonly database");
    trio.a.start(trio.dir);
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
    CHECK(trio.b.ask("SELECT count(*) FROM t WHERE x='never'") == "0");
}
