// The judges of the chaos test must be able to condemn.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/process/chaos/board.h"
#include "tests/process/chaos/schema.h"
#include "tests/support/process/child.h"
#include "tests/support/temp_dir.h"

namespace {

using tanist::testing::Database;

constexpr int kViolation = 9;

struct Fixture {
    tanist::TempDir dir;
    std::string db = dir.path("app.db");
    std::string copy = dir.path("copy.db");
    std::string board = dir.path("board");

    Fixture() {
        std::string trouble;
        REQUIRE_EQ(tanist::chaos::make_schema(db, {}, trouble), SQLITE_OK);
        run("INSERT INTO item(kind,body,body_hash) SELECT 1,zeroblob(3000),0 FROM ledger;"
            "UPDATE totals SET n=64 WHERE name='item'; PRAGMA wal_checkpoint(TRUNCATE)");
        std::filesystem::copy_file(db, copy);
    }
    void run(const std::string& sql) {
        Database connection;
        REQUIRE_EQ(connection.open(db, {}), SQLITE_OK);
        REQUIRE_EQ(connection.run(sql), SQLITE_OK);
    }
    void flip(const std::string& path, long offset) {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(offset);
        const int byte = file.get();
        file.seekp(offset);
        file.put(static_cast<char>(byte ^ 1));
    }
    int tool(const std::string& name, const std::vector<std::string>& words) {
        std::vector<std::string> command = {std::string(TANIST_CHAOS_DIR) + "/chaos_" + name};
        command.insert(command.end(), words.begin(), words.end());
        tanist::testing::ChildOptions options;
        options.log = dir.path("log");
        return tanist::testing::run(command, options);
    }
    int compare() { return tool("compare", {db, copy, "--no-integrity"}); }
    int look(const std::string& how) {
        return tool("reader", {db, "--board", board, "--how", how, "--looks", "30"});
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "chaos_compare: a copy is equal") { CHECK_EQ(compare(), 0); }

TEST_CASE_FIXTURE(Fixture, "chaos_compare: one bit of one page is a difference") {
    flip(copy, static_cast<long>(std::filesystem::file_size(copy)) - 500);
    CHECK_EQ(compare(), 5);
}

TEST_CASE_FIXTURE(Fixture, "chaos_compare: the write version is no difference") {
    flip(copy, 18);
    CHECK_EQ(compare(), 0);
}

TEST_CASE_FIXTURE(Fixture, "chaos_compare: a missing page is a difference") {
    std::filesystem::resize_file(copy, std::filesystem::file_size(copy) - 4096);
    CHECK_EQ(compare(), 5);
}

TEST_CASE_FIXTURE(Fixture, "chaos_compare: damage that both sides share fails integrity_check") {
    run("PRAGMA writable_schema=1; UPDATE sqlite_schema SET rootpage=3 WHERE name='item_kind'");
    CHECK_EQ(tool("compare", {db, db}), 1);
}

TEST_CASE_FIXTURE(Fixture, "chaos_reader: a sound database passes") {
    run("UPDATE totals SET n=0 WHERE name='item'; DELETE FROM item");
    CHECK_EQ(look("plain"), 0);
    CHECK_EQ(look("mmap"), 0);
    CHECK_EQ(look("reconnect"), 0);
}

TEST_CASE_FIXTURE(Fixture, "chaos_reader: a ledger that does not add up is a violation") {
    run("UPDATE ledger SET balance=balance+1 WHERE account=3");
    CHECK_EQ(look("plain"), kViolation);
}

TEST_CASE_FIXTURE(Fixture, "chaos_reader: a body without its hash is a violation") {
    CHECK_EQ(look("plain"), kViolation);
}

TEST_CASE_FIXTURE(Fixture, "chaos_reader: time that runs backwards is a violation") {
    tanist::chaos::Board::map(board)->saw_ticks(1);
    CHECK_EQ(look("plain"), kViolation);
}

TEST_CASE_FIXTURE(Fixture, "chaos_reader: a stray write that is accepted is a violation") {
    run("UPDATE totals SET n=0 WHERE name='item'; DELETE FROM item");
    CHECK_EQ(look("stray"), kViolation);
}
