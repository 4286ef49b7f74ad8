#include "replicator/node/sync_worker.h"

#include <doctest/doctest.h>

#include "replicator/node/ship_lock.h"
#include "tests/support/stock_sqlite.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

SyncWorkerAnswer next_answer(SyncWorker& worker) {
    for (;;) {
        std::deque<SyncWorkerAnswer> answers = worker.take();
        if (!answers.empty()) return std::move(answers.front());
        wait_readable(worker.fd(), std::chrono::seconds(1));
    }
}

SyncWorkerAsk beginning_of(SyncJob job, Lsn base) {
    SyncWorkerAsk ask;
    ask.job = job;
    ask.base.position = {Epoch(1), base};
    return ask;
}

}  // namespace

TEST_CASE("sync_worker: a sync begins with the size that the database has then") {
    TempDir dir;
    StockSqlite app(dir.path("app.db"));
    app.must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    SyncWorker worker(linked_sqlite(), dir.path("app.db"));
    worker.ask(beginning_of(1, Lsn(1)));
    CHECK(next_answer(worker).begin->db_pages == 2);

    app.must("INSERT INTO t VALUES(zeroblob(40960))");
    worker.ask(beginning_of(2, Lsn(2)));
    const SyncWorkerAnswer answer = next_answer(worker);
    CHECK(std::to_string(answer.begin->db_pages) == app.ask("PRAGMA page_count"));
    CHECK(answer.begin->page_bytes == 4096);
    CHECK(answer.begin->base.lsn == Lsn(2));
}

TEST_CASE("sync_worker: a database that cannot be read is said to be so") {
    TempDir dir;
    SyncWorker worker(linked_sqlite(), dir.path("app.db"));
    worker.ask(beginning_of(1, Lsn(1)));
    const SyncWorkerAnswer answer = next_answer(worker);
    CHECK_FALSE(answer.begin);
    CHECK(answer.failure.find("there is no database") != std::string::npos);
}
