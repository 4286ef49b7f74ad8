#include "replicator/sync/record_check.h"

#include <doctest/doctest.h>

#include "tests/support/primary.h"

using namespace tanist;

namespace {

struct Checked {
    Primary primary;
    std::unique_ptr<LogReader> reader = primary.log->reader();
    std::unique_ptr<SqliteHandle> handle =
        SqliteHandle::open(linked_sqlite(), primary.path(), {}).value();

    RecordHeader commit(const std::string& sql) {
        primary.commit(sql);
        return reader->header_of(primary.end().position.lsn).value();
    }
    bool may_be_at(const RecordHeader& record) {
        return tanist::may_be_at(*handle, *reader, record).value();
    }
};

}  // namespace

TEST_CASE("record_check: a database may be at the record it was committed with, in WAL and file") {
    Checked checked;
    const RecordHeader record = checked.commit("INSERT INTO t VALUES(1, zeroblob(9000))");
    CHECK(checked.may_be_at(record));
    checked.primary.db.must("PRAGMA wal_checkpoint(TRUNCATE)");
    CHECK(checked.may_be_at(record));
}

TEST_CASE("record_check: a database that lacks one page of a record, or its size, is not at it") {
    Checked checked;
    const RecordHeader before = checked.commit("INSERT INTO t VALUES(1, 'one')");
    const RecordHeader same_size = checked.commit("UPDATE t SET x='two' WHERE id=1");
    CHECK_FALSE(checked.may_be_at(before));
    CHECK(checked.may_be_at(same_size));
    checked.commit("INSERT INTO t VALUES(2, zeroblob(9000))");
    CHECK_FALSE(checked.may_be_at(same_size));
}
