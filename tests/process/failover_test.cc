// Roles that change while the processes live: fence, unfence, a primary that comes back after
// another has taken over.
#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/control/node_file.h"
#include "tests/support/application.h"
#include "tests/support/daemons.h"

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
    CHECK(remote.says("admin socket only"));
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
