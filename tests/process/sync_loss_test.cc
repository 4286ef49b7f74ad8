// The primary is lost while its replicas are in the middle of a delta sync.
#include <doctest/doctest.h>

#include <future>

#include "tests/support/application.h"
#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

// Long enough a copy that a replica can be stopped within it.
constexpr const char* kBig =
    "CREATE TABLE big(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60) "
    "INSERT INTO big SELECT randomblob(1000000) FROM n";

bool syncs(const TrioNode& node) {
    auto control = Control::open(Layout(node.db).control(), false, false);
    return control.ok() && (*control)->sync_total_bytes.load() > 0;
}

struct GapTrio : Trio {
    bool confirmed(const std::string& text) const {
        OpenOptions options;
        options.extension = kExtension;
        options.parameters = "vfs=tanist&ack=durable:1";
        return Application(a.db, options).run("INSERT INTO t VALUES('" + text + "')") == "ok";
    }
    // What no engine sees: the WAL is written back and begun anew. Both replicas then stand still
    // in the middle of the sync that leads past it.
    void stop_both_in_a_sync() {
        a.daemon.kill();
        StockSqlite stock(a.db);
        stock.must("PRAGMA wal_checkpoint(TRUNCATE)");
        stock.must(kBig);
        stock.must("PRAGMA wal_checkpoint(TRUNCATE)");
        auto stops = [](const TrioNode& node) {
            const bool found = eventually([&] { return syncs(node); });
            node.pause();
            return found;
        };
        auto first = std::async(std::launch::async, [&] { return stops(b); });
        auto second = std::async(std::launch::async, [&] { return stops(c); });
        a.start(dir);
        REQUIRE(first.get());
        REQUIRE(second.get());
        REQUIRE(syncs(b));
        REQUIRE(syncs(c));
    }
    void lose_primary() {
        a.daemon.kill();
        b.go_on();
        c.go_on();
    }
    Outcome promote_b() const {
        return run("promote b.db --yes --force --accept-loss --assert-fenced a");
    }
    std::string position(const TrioNode& node) const {
        return json("status " + node.db).value("position", "");
    }
};

}  // namespace

TEST_CASE("promote: replicas that lose their primary in a sync have all that they confirmed") {
    GapTrio trio;
    REQUIRE(trio.confirmed("kept"));
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    trio.stop_both_in_a_sync();
    trio.lose_primary();
    Outcome promoted;
    const bool done = eventually([&] { return (promoted = trio.promote_b()).code == 0; });
    REQUIRE_MESSAGE(done, promoted.text);
    CHECK(trio.b.ask("SELECT group_concat(x) FROM t") == "kept");
    CHECK(trio.b.ask("SELECT count(*) FROM sqlite_master WHERE name='big'") == "0");
    CHECK(trio.b.writes());
    CHECK(Trio::equal_soon(trio.b, {&trio.c}));
    CHECK(trio.b.ask("PRAGMA integrity_check") == "ok");
}

TEST_CASE("promote: a replica killed in a sync starts with what it had, and can be promoted") {
    GapTrio trio;
    REQUIRE(trio.confirmed("kept"));
    REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    const std::string before = trio.position(trio.b);
    trio.stop_both_in_a_sync();
    CHECK(trio.position(trio.b) == before);
    trio.b.daemon.kill();
    trio.lose_primary();
    trio.b.start(trio.dir);
    CHECK(trio.position(trio.b) == before);
    CHECK_FALSE(path_exists(Layout(trio.b.db).log() + "/next"));
    Outcome promoted;
    const bool done = eventually([&] { return (promoted = trio.promote_b()).code == 0; });
    REQUIRE_MESSAGE(done, promoted.text);
    CHECK(trio.b.ask("SELECT group_concat(x) FROM t") == "kept");
}

TEST_CASE("replica: after a sync that was broken off, the next one leads past the gap") {
    GapTrio trio;
    trio.stop_both_in_a_sync();
    trio.b.daemon.kill();
    trio.b.start(trio.dir);
    trio.c.go_on();
    CHECK(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
    CHECK_FALSE(path_exists(Layout(trio.b.db).log() + "/next"));
    CHECK_FALSE(path_exists(Layout(trio.c.db).base() + "/install"));
}
