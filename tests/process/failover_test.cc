// Roles that change while the processes live: fence, unfence, a primary that comes back after
// another has taken over.
#include <doctest/doctest.h>

#include <filesystem>
#include <thread>

#include "replicator/control/control_block.h"
#include "replicator/control/node_file.h"
#include "tests/support/application.h"
#include "tests/support/daemons.h"
#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

constexpr const char* kSchema = "CREATE TABLE t(x)";

bool refuses_writes(const std::string& path) {
    return StockSqlite(path).ask("INSERT INTO t VALUES(99)") ==
           "error: attempt to write a readonly database";
}

Outcome run(const Pair& pair, const std::string& arguments) {
    return shell(pair.dir, kTanist + " " + arguments);
}

// An application in the middle of a commit, which two replicas are to confirm before it is visible.
Child waiting_writer(const Trio& trio) {
    return Child({"sqlite3", "-batch", ":memory:", ".load " TANIST_BUILD_DIR "/tanist",
                  ".open file:" + trio.a.db + "?vfs=tanist",
                  "PRAGMA tanist_ack = 'durable:2'; PRAGMA tanist_ack_timeout = '60s'; "
                  "INSERT INTO t VALUES('held back')"},
                 ChildOptions{.log = trio.dir.path("writer.log")});
}

// The commit that a writer of the primary holds back is durable on one replica.
bool one_replica_has_what_is_held_back(const Trio& trio) {
    auto control = Control::open(Layout(trio.a.db).control(), false, false);
    if (!control.ok()) return false;
    const ControlPrepare& slot = (*control)->prepare;
    const uint32_t word = slot.word.load();
    return phase_of(word) == PreparePhase::posted && slot.logged_word.load() == word &&
           (control->peer(0).durable.value >= slot.lsn.load() ||
            control->peer(1).durable.value >= slot.lsn.load());
}

}  // namespace

TEST_CASE("fence: every process is refused, reads go on, and unfence restores it") {
    Pair pair(kSchema);
    Application open_before(pair.primary);
    open_before.run("INSERT INTO t VALUES(1)");
    const Outcome fenced = run(pair, "fence app.db");
    CHECK_MESSAGE(fenced.code == 0, fenced.text);
    CHECK(open_before.run("INSERT INTO t VALUES(2)") ==
          "error: attempt to write a readonly database");
    CHECK(refuses_writes(pair.primary));
    CHECK(pair.ask("SELECT count(*) FROM t") == "1");
    CHECK(run(pair, "status app.db").says("fenced, epoch"));
    CHECK(run(pair, "unfence app.db").code == 0);
    CHECK(StockSqlite(pair.primary).run("INSERT INTO t VALUES(3)") == SQLITE_OK);
    CHECK(pair.equal_soon());
}

TEST_CASE("fence: it outlives the daemon that set it") {
    Pair pair(kSchema);
    REQUIRE(run(pair, "fence app.db").code == 0);
    pair.engine.kill();
    CHECK(refuses_writes(pair.primary));
    pair.start_engine();
    CHECK(refuses_writes(pair.primary));
    CHECK(run(pair, "unfence app.db").code == 0);
    CHECK_FALSE(refuses_writes(pair.primary));
}

TEST_CASE("fence: starts a daemon when none serves the database") {
    Pair pair(kSchema);
    CHECK(pair.engine.stop() == 0);
    const Outcome fenced = run(pair, "fence app.db");
    CHECK_MESSAGE(fenced.code == 0, fenced.text);
    CHECK(refuses_writes(pair.primary));
    CHECK(run(pair, "unfence app.db").code == 0);
    CHECK_FALSE(refuses_writes(pair.primary));
}

TEST_CASE("fence: a replica needs none, and says so") {
    Pair pair(kSchema);
    REQUIRE(pair.equal_soon());
    const Outcome refused = run(pair, "fence replica.db");
    CHECK(refused.code == 3);
    CHECK(refused.says("is a replica"));
    const Outcome remote = run(pair, "fence " + pair.replica_daemon.endpoint());
    CHECK(remote.code == 3);
    CHECK(remote.says("commands need a key"));
}

TEST_CASE("fence: a directory whose path is longer than a socket's address") {
    TempDir dir;
    const std::string deep = dir.path(std::string(120, 'd'));
    std::filesystem::create_directory(deep);
    const std::string db = deep + "/app.db";
    StockSqlite(db).must(std::string("PRAGMA journal_mode=WAL; ") + kSchema);
    REQUIRE(shell(dir, kTanist + " init " + db).code == 0);
    Daemon engine(dir, {"--db", db});
    REQUIRE(engine.ready());
    const Outcome fenced = shell(dir, kTanist + " fence " + db);
    CHECK_MESSAGE(fenced.code == 0, fenced.text);
    CHECK(refuses_writes(db));
}

TEST_CASE("promote: after the primary's death a replica takes writes and the others follow it") {
    Trio trio;
    REQUIRE(trio.a.writes());
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    trio.a.daemon.kill();
    const Outcome promoted = trio.run("promote b.db --yes");
    CHECK_MESSAGE(promoted.code == 0, promoted.text);
    CHECK(trio.b.writes());
    CHECK(Trio::equal_soon(trio.b, {&trio.c}));
    CHECK(trio.role(trio.c) == "replica");
    CHECK(trio.c.ask("SELECT count(*) FROM t") == "2");
}

TEST_CASE("promote: a connection of the extension that was opened on a replica writes afterwards") {
    Trio trio;
    REQUIRE(trio.a.writes());
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    Application app(trio.b.db, {.parameters = "vfs=tanist", .extension = kExtension});
    CHECK(app.run("SELECT count(*) FROM t") == "1");
    CHECK(app.run("INSERT INTO t VALUES('early')") ==
          "error: attempt to write a readonly database");
    // Its checkpoint leaves the mark for stock processes.
    CHECK(app.run("PRAGMA wal_checkpoint(TRUNCATE)") == "0");
    CHECK(refuses_writes(trio.b.db));
    trio.a.daemon.kill();
    REQUIRE(trio.run("promote b.db --yes").code == 0);
    CHECK(app.run("INSERT INTO t VALUES('late')") == "ok");
    CHECK(Trio::equal_soon(trio.b, {&trio.c}));
    CHECK(trio.c.ask("SELECT group_concat(x) FROM t") == "w,late");
}

TEST_CASE("promote: the old primary comes back as a replica, its lost commits saved") {
    Trio trio;
    trio.b.daemon.kill();
    trio.c.daemon.kill();
    StockSqlite(trio.a.db).must("INSERT INTO t VALUES('lost')");
    // Captured, and shipped to nobody.
    REQUIRE(eventually([&] {
        return trio.json("status a.db")["log"]["end"].get<uint64_t>() >
               trio.json("status a.db")["replicas"][0]["received"].get<uint64_t>();
    }));
    trio.a.daemon.kill();
    trio.b.start(trio.dir);
    trio.c.start(trio.dir);
    REQUIRE(trio.run("promote b.db --yes").code == 0);
    StockSqlite(trio.b.db).must("INSERT INTO t VALUES('kept')");
    trio.a.start(trio.dir);
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
    CHECK(trio.role(trio.a) == "replica");
    CHECK_FALSE(trio.a.writes());
    const auto list = trio.json("diverged list a.db")["diverged"];
    REQUIRE(list.size() == 1);
    CHECK(list[0]["commits"] == 1);
    CHECK(list[0]["common_proved"] == true);
    const std::string name = list[0]["name"];
    CHECK(trio.json("diverged show a.db " + name)["list"].size() == 1);
    trio.must("diverged export a.db " + name + " lost.db");
    const std::string pages =
        StockSqlite(trio.dir.path("lost.db"))
            .ask(
                "SELECT count(*) FROM tanist_page WHERE instr(here, 'lost') AND "
                "NOT instr(now, 'lost') AND instr(now, 'kept')");
    CHECK(pages == "1");
    const std::string rows = StockSqlite(trio.dir.path("lost.db"))
                                 .ask(
                                     "SELECT group_concat(tbl || key || kind || col || here || "
                                     "now) FROM tanist_row");
    CHECK(rows == "t1changedxlostkept");
}

// The log of a replica lets go what is applied; that of a node that comes back must wait.
TEST_CASE("promote: all lost commits are saved, though the log would keep only the last ones") {
    Trio trio;
    write_text(trio.a.db + "-tanist/tanist.toml", "log_segment_bytes = '64KiB'\n");
    trio.b.daemon.kill();
    trio.c.daemon.kill();
    trio.a.daemon.kill();
    trio.a.start(trio.dir);
    const uint64_t before = trio.json("status a.db")["log"]["end"];
    for (int i = 0; i < 200; ++i) StockSqlite(trio.a.db).must("INSERT INTO t VALUES('lost')");
    REQUIRE(eventually([&] { return trio.json("status a.db")["log"]["end"] >= before + 200; }));
    trio.a.daemon.kill();
    trio.b.start(trio.dir);
    trio.c.start(trio.dir);
    REQUIRE(trio.run("promote b.db --yes").code == 0);
    // The new primary is found only after the log had time to be trimmed.
    trio.b.pause();
    trio.c.pause();
    trio.a.start(trio.dir);
    trio.b.go_on();
    trio.c.go_on();
    REQUIRE(trio.b.writes());
    REQUIRE(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
    const auto list = trio.json("diverged list a.db")["diverged"];
    REQUIRE(list.size() == 1);
    CHECK(list[0]["commits"] == 200);
    CHECK(list[0]["common_proved"] == true);
}

TEST_CASE("promote: a primary that was stopped learns while it runs that another took over") {
    Trio trio;
    Application writer(trio.a.db);
    writer.run("INSERT INTO t VALUES('first')");
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    trio.a.pause();
    REQUIRE(trio.run("promote b.db --yes").code == 0);
    REQUIRE(trio.b.writes());
    trio.a.go_on();
    CHECK(eventually([&] { return trio.role(trio.a) == "replica"; }));
    CHECK(writer.run("INSERT INTO t VALUES('late')").starts_with("error"));
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
}

// A wrong endpoint is a mistake; it must not cost the primary its role.
TEST_CASE("promote: a higher epoch of another database means nothing") {
    Trio trio;
    trio.a.daemon.kill();
    trio.must("promote b.db --yes");
    TrioNode other{trio.dir.path("x.db"), "ipc://" + trio.dir.path("x.sock"), {}};
    StockSqlite(other.db).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    trio.must("init x.db");
    for (const TrioNode* stranger : {&trio.b, &trio.c}) {
        trio.must("members add x.db " + stranger->endpoint);
    }
    other.start(trio.dir);
    for (const int replica : {0, 1}) {
        CHECK(eventually(
            [&] { return trio.json("status x.db")["replicas"][replica]["state"] == "refused"; }));
    }
    CHECK(trio.role(other) == "primary");
    CHECK(other.writes());
}

// It is in the old primary's log and not in its database, and the new primary has committed it.
TEST_CASE("promote: what a writer held back when it died is on the old primary, too") {
    Trio trio;
    trio.c.pause();
    Child writer = waiting_writer(trio);
    REQUIRE(eventually([&] { return one_replica_has_what_is_held_back(trio); }));
    writer.signal(SIGSTOP);  // with SQLite's write lock
    trio.a.pause();
    trio.c.go_on();
    REQUIRE(eventually([&] { return trio.run("promote b.db --yes").code == 0; }));
    trio.a.go_on();
    REQUIRE(eventually([&] { return trio.role(trio.a) == "fenced"; }));
    writer.kill();
    CHECK(eventually([&] { return trio.role(trio.a) == "replica"; }));
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
    CHECK(trio.a.ask("SELECT count(*) FROM t") == "1");
}

// A node's epoch is what it has heard of; how much history it has is in its log.
TEST_CASE("promote: after a primary without a commit of its own, nobody counts as more complete") {
    Trio trio;
    trio.a.daemon.kill();
    REQUIRE(trio.run("promote b.db --yes").code == 0);
    trio.a.start(trio.dir);
    REQUIRE(eventually([&] { return trio.role(trio.a) == "replica"; }));
    // Both follow b: a without the gap that its own engine noted when it came back.
    REQUIRE(eventually([&] {
        int following = 0;
        const auto status = trio.json("status b.db");
        for (const auto& replica : status["replicas"]) {
            following +=
                replica["state"] == "streaming" && replica["received"] == status["log"]["end"];
        }
        return following == 2;
    }));
    trio.b.daemon.kill();
    const Outcome promoted = trio.run("promote c.db --yes");
    CHECK_MESSAGE(promoted.code == 0, promoted.text);
}

TEST_CASE("promote: refused while the primary lives, whatever is forced") {
    Trio trio;
    const Outcome refused = trio.run("promote b.db --yes --force --accept-loss --assert-fenced a");
    CHECK(refused.code == 3);
    CHECK(refused.says("living primary"));
    CHECK(trio.role(trio.b) == "replica");
    CHECK(trio.a.writes());
}

TEST_CASE("promote: without a majority it takes force, and the operator's word") {
    Trio trio;
    trio.a.daemon.kill();
    trio.c.daemon.kill();
    const Outcome plan = trio.run("promote b.db --dry-run");
    CHECK(plan.code == 0);
    CHECK(plan.says("no majority"));
    CHECK(trio.run("promote b.db --yes").code == 3);
    CHECK(trio.run("promote b.db --yes --force").code == 2);
    CHECK(trio.run("promote b.db --yes --force --accept-loss").code == 3);
    CHECK(trio.role(trio.b) == "replica");
    trio.must("promote b.db --yes --force --accept-loss --assert-fenced a");
    CHECK(trio.b.writes());
    const std::string audit = file_text(trio.b.db + "-tanist/audit.log");
    CHECK(audit.find("asserted dead: a") != std::string::npos);
}

TEST_CASE("promote: a replica that has less of the history than a reachable one is refused") {
    Trio trio;
    trio.c.daemon.kill();
    REQUIRE(trio.a.writes());
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b}));
    trio.a.daemon.kill();
    trio.c.start(trio.dir);
    const Outcome refused = trio.run("promote c.db --yes");
    CHECK(refused.code == 3);
    CHECK(refused.says("more of the history"));
    CHECK(trio.run("promote b.db --yes").code == 0);
}

TEST_CASE("switchover: the member takes over, nothing is lost, the old primary follows") {
    Trio trio;
    Application open_before(trio.a.db);
    open_before.run("INSERT INTO t VALUES('before')");
    CHECK(trio.run("switchover a.db --to nobody").code == 1);
    CHECK(trio.run("switchover b.db --to c").code == 3);
    CHECK(trio.run("switchover a.db --to b --dry-run").code == 0);
    CHECK(trio.role(trio.a) == "primary");
    const Outcome done = trio.run("switchover a.db --to b");
    CHECK_MESSAGE(done.code == 0, done.text);
    CHECK(trio.role(trio.b) == "primary");
    CHECK(trio.role(trio.a) == "replica");
    CHECK(open_before.run("INSERT INTO t VALUES('late')").starts_with("error"));
    CHECK(trio.b.writes());
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
    CHECK(trio.b.ask("SELECT count(*) FROM t WHERE x = 'before'") == "1");
    CHECK(trio.json("diverged list a.db")["diverged"].empty());
}

TEST_CASE("tanist_primary: every node names where the primary listens, also after it changed") {
    Trio trio;
    const OpenOptions extension{.parameters = "vfs=tanist", .extension = kExtension};
    Application on_a(trio.a.db, extension);
    Application on_c(trio.c.db, extension);
    const auto names = [](Application& app, const std::string& endpoint) {
        return eventually([&] { return app.run("PRAGMA tanist_primary") == endpoint; });
    };
    CHECK(names(on_a, trio.a.endpoint));
    CHECK(names(on_c, trio.a.endpoint));
    REQUIRE(eventually([&] { return trio.run("switchover a.db --to b").code == 0; }));
    CHECK(names(on_a, trio.b.endpoint));
    CHECK(names(on_c, trio.b.endpoint));
    Application on_b(trio.b.db, extension);
    CHECK(names(on_b, trio.b.endpoint));
    REQUIRE(trio.run("fence b.db").code == 0);
    CHECK(on_b.run("SELECT tanist_primary()") == trio.b.endpoint);
}

// Where it is bound may mean nothing to others (0.0.0.0, or behind a router).
TEST_CASE("promote: the members know the primary by the address that it advertises") {
    Trio trio;
    const std::string alias = trio.dir.path("a.alias");
    std::filesystem::create_symlink(trio.dir.path("a.sock"), alias);
    REQUIRE(trio.a.daemon.stop() == 0);
    write_text(trio.a.db + "-tanist/tanist.toml", "advertise = \"ipc://" + alias + "\"\n");
    trio.a.start(trio.dir);
    const auto roster = [&] { return file_text(Layout(trio.b.db).members()); };
    CHECK(eventually([&] { return roster().find(alias) != std::string::npos; }));
    CHECK(roster().find(trio.a.endpoint) == std::string::npos);
    trio.a.daemon.kill();
    trio.must("promote b.db --yes");
    trio.a.start(trio.dir);
    CHECK(Trio::equal_soon(trio.b, {&trio.a, &trio.c}));
}

TEST_CASE("switchover: there and back again, while an application writes") {
    Trio trio;
    for (auto [from, to] : {std::pair{&trio.a, &trio.b}, {&trio.b, &trio.a}, {&trio.a, &trio.c}}) {
        StockSqlite(from->db).must("INSERT INTO t VALUES('x')");
        const std::string command = "switchover " + from->db + " --to " + to->endpoint;
        REQUIRE(eventually([&] { return trio.run(command + " --dry-run").code == 0; }));
        const Outcome done = trio.run(command);
        REQUIRE_MESSAGE(done.code == 0, done.text);
        REQUIRE(to->writes());
    }
    CHECK(Trio::equal_soon(trio.c, {&trio.a, &trio.b}));
    CHECK(trio.c.ask("SELECT count(*) FROM t") == "6");
}

TEST_CASE("switchover: the command ends when the daemon that was told to dies") {
    Trio trio;
    StockSqlite writer(trio.a.db);
    writer.must("BEGIN IMMEDIATE");  // which the hand-over waits for
    Outcome told;
    std::thread order([&] { told = trio.run("switchover a.db --to b"); });
    const bool begun = eventually([&] {
        return file_text(trio.a.db + "-tanist/audit.log").find("switchover") != std::string::npos;
    });
    trio.a.daemon.kill();
    order.join();
    REQUIRE(begun);
    CHECK(told.code == 1);
    CHECK_MESSAGE(told.says("has ended before it answered"), told.text);
}

TEST_CASE("switchover: refused when the member does not follow, and writing goes on") {
    Trio trio;
    trio.b.daemon.kill();
    REQUIRE(eventually([&] { return trio.run("switchover a.db --to b").code == 3; }));
    CHECK(trio.a.writes());
    CHECK(trio.role(trio.a) == "primary");
}
