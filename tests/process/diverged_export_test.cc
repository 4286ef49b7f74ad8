// What an operator gets back of commits that a failover discarded: rows, where the pages tell.
#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/base/file.h"
#include "tests/support/trio.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

constexpr const char* kRows =
    "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, photo BLOB, score REAL);"
    "CREATE INDEX by_name ON person(name);"
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "INSERT INTO setting VALUES('color', 'red');"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)"
    " INSERT INTO person SELECT i, 'name ' || i, NULL, i / 2.0 FROM n";

// a had commits that only it knows, then b was promoted, wrote, and a came back.
struct Discarded {
    Trio trio;
    std::string out;

    Discarded(const std::string& by_a, const std::string& by_b, bool encrypted = false) {
        StockSqlite(trio.a.db).must(kRows);
        if (encrypted) {
            REQUIRE(trio.a.daemon.stop() == 0);
            std::ofstream(Layout(trio.a.db).settings(), std::ios::app)
                << "\nencrypt_at_rest = true\n";
            trio.a.start(trio.dir);
        }
        REQUIRE(Trio::equal_soon(trio.a, {&trio.b, &trio.c}));
        trio.b.daemon.kill();
        trio.c.daemon.kill();
        const uint64_t before = trio.json("status a.db")["log"]["end"];
        StockSqlite(trio.a.db).must(by_a);
        REQUIRE(eventually([&] { return trio.json("status a.db")["log"]["end"] > before; }));
        trio.a.daemon.kill();
        trio.b.start(trio.dir);
        trio.c.start(trio.dir);
        trio.must("promote b.db --yes");
        StockSqlite(trio.b.db).must(by_b);
        trio.a.start(trio.dir);
        REQUIRE(Trio::equal_soon(trio.b, {&trio.a}));
        const auto list = trio.json("diverged list a.db")["diverged"];
        REQUIRE(list.size() == 1);
        trio.must("diverged export a.db " + list[0]["name"].get<std::string>() + " lost.db");
        out = trio.dir.path("lost.db");
    }
    std::string ask(const std::string& sql) const { return StockSqlite(out).ask(sql); }
};

}  // namespace

TEST_CASE("diverged export: rows side by side, those that differ and no others") {
    const Discarded export_of(
        "BEGIN; UPDATE person SET name = 'lost', photo = zeroblob(20000) WHERE id = 5;"
        "DELETE FROM person WHERE id = 7; INSERT INTO person VALUES(9000, 'new', NULL, 1.5);"
        "CREATE TABLE extra(x); INSERT INTO extra VALUES(-3); COMMIT",
        "UPDATE person SET name = 'kept', score = 0.1 WHERE id = 5");
    const auto row = [&](const std::string& which) {
        return export_of.ask(
            "SELECT group_concat(kind || '|' || coalesce(here, '-') || '|' || coalesce(now, '-'), "
            "' ') FROM tanist_row WHERE " +
            which);
    };
    CHECK(row("tbl='person' AND key=5 AND col='name'") == "changed|lost|kept");
    CHECK(row("tbl='person' AND key=5 AND col='score'") == "changed|2.5|0.1");
    CHECK(export_of.ask("SELECT length(here) FROM tanist_row WHERE col='photo' AND key=5") ==
          "20000");
    CHECK(row("tbl='person' AND key=7 AND col='name'") == "only now|-|name 7");
    CHECK(row("tbl='person' AND key=9000 AND col='id'") == "only here|9000|-");
    CHECK(row("tbl='extra'") == "only here|-3|-");
    CHECK(export_of.ask("SELECT count(DISTINCT key) FROM tanist_row WHERE tbl='person'") == "3");
}

TEST_CASE("diverged export: encrypted at rest, the saved commits show nothing, and are read") {
    const Discarded export_of("UPDATE person SET name = 'a secret sentence' WHERE id = 5",
                              "SELECT 1", true);
    CHECK(export_of.ask("SELECT here FROM tanist_row WHERE key=5") == "a secret sentence");
    int files = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(Layout(export_of.trio.a.db).diverged())) {
        if (!entry.is_regular_file()) continue;
        const std::string path = entry.path().string();
        CAPTURE(path);
        CHECK((stat_path(path)->mode & 0777) == 0600);
        CHECK(file_text(path).find("secret") == std::string::npos);
        files += 1;
    }
    CHECK(files > 1);
}

TEST_CASE("diverged export: what has no rowid is there as pages") {
    const Discarded export_of("UPDATE setting SET value = 'blue'", "SELECT 1");
    CHECK(export_of.ask("SELECT count(*) FROM tanist_row") == "0");
    CHECK(export_of.ask("SELECT count(*) FROM tanist_page WHERE in_rows = 0 AND "
                        "instr(here, 'blue') AND instr(now, 'red')") == "1");
}
