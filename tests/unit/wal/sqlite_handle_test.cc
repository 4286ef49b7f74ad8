#include "replicator/wal/sqlite_handle.h"

#include <doctest/doctest.h>

#include "replicator/base/file.h"
#include "tests/support/temp_dir.h"

namespace tanist {
namespace {

void run(const std::string& path, const std::string& sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
}

Result<std::unique_ptr<SqliteHandle>> open(const std::string& path,
                                           SqliteHandle::Options options = {}) {
    return SqliteHandle::open(linked_sqlite(), path, options);
}

TEST_CASE("sqlite_handle: opens a WAL database and sees its wal-index") {
    TempDir dir;
    run(dir.path("a.db"), "PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    auto handle = open(dir.path("a.db"));
    REQUIRE(handle.ok());
    Result<std::optional<WalIndexHeader>> header = (*handle)->header();
    REQUIRE(header.ok());
    REQUIRE(header->has_value());
    CHECK((*header)->version == kWalIndexVersion);
}

TEST_CASE("sqlite_handle: an absent database is not found, unless it is to be made") {
    TempDir dir;
    auto absent = open(dir.path("a.db"));
    REQUIRE_FALSE(absent.ok());
    CHECK(absent.error().code == Errc::not_found);
    auto made = open(dir.path("a.db"), {.create = true, .switch_to_wal = true});
    REQUIRE(made.ok());
    CHECK((*made)->db_bytes().value() == 4096);
}

TEST_CASE("sqlite_handle: a rollback-journal database is refused with the remedy") {
    TempDir dir;
    run(dir.path("a.db"), "CREATE TABLE t(x)");
    auto refused = open(dir.path("a.db"));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::invalid);
    CHECK(refused.error().message.find("tanist init") != std::string::npos);
    CHECK(open(dir.path("a.db"), {.switch_to_wal = true}).ok());
}

TEST_CASE("sqlite_handle: a file that is no database is refused") {
    TempDir dir;
    const std::string text(5000, 'x');
    REQUIRE(replace_file(dir.path("a.db"), view_of(text)).ok());
    auto refused = open(dir.path("a.db"));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::invalid);
}

TEST_CASE("sqlite_handle: a database in EXCLUSIVE mode is busy") {
    TempDir dir;
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(dir.path("a.db").c_str(), &db) == SQLITE_OK);
    sqlite3_exec(db,
                 "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; CREATE TABLE t(x);"
                 "INSERT INTO t VALUES(1)",
                 nullptr, nullptr, nullptr);
    auto refused = open(dir.path("a.db"), {.busy_timeout_ms = 0});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::busy);
    sqlite3_close(db);
}

TEST_CASE("sqlite_handle: locks exclude another handle and end with their holder") {
    TempDir dir;
    run(dir.path("a.db"), "PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    auto a = open(dir.path("a.db"));
    auto b = open(dir.path("a.db"));
    REQUIRE((*a)->lock(kLockWrite, 1, true).ok());
    Status second = (*b)->lock(kLockWrite, 1, true);
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == Errc::busy);
    a->reset();
    CHECK((*b)->lock(kLockWrite, 1, true).ok());
}

TEST_CASE("sqlite_handle: reads past the end are zeros and counted") {
    TempDir dir;
    run(dir.path("a.db"), "PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    auto handle = open(dir.path("a.db"));
    const uint64_t bytes = (*handle)->db_bytes().value();
    Bytes out(500000, 0xff);
    CHECK((*handle)->read_db(bytes - 10, out).value() == 10);
    CHECK(out[10] == 0);
    CHECK(out.back() == 0);
}

TEST_CASE("sqlite_handle: a long write to the WAL is read back whole") {
    TempDir dir;
    run(dir.path("a.db"), "PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    auto handle = open(dir.path("a.db"));
    Bytes content(400000);
    for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<uint8_t>(i * 7);
    REQUIRE((*handle)->write_wal(1000, content).ok());
    Bytes found(content.size());
    CHECK((*handle)->read_wal(1000, found).value() == content.size());
    CHECK(found == content);
    CHECK((*handle)->truncate_wal().ok());
}

}  // namespace
}  // namespace tanist
