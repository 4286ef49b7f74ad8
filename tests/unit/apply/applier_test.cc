#include "replicator/apply/applier.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "replicator/base/hash.h"
#include "tests/support/primary.h"

using namespace tanist;

namespace {

// A replica that begins as a copy of the primary, at its log's start.
struct Replica {
    Primary primary;
    TempDir dir;
    std::string path = dir.path("replica.db");
    IntentFile intent = IntentFile::open(dir.path("intent")).value();
    std::unique_ptr<LogReader> reader = primary.log->reader();
    std::unique_ptr<Applier> applier;

    Replica() {
        primary.db.must("PRAGMA wal_checkpoint(TRUNCATE)");
        std::filesystem::copy_file(primary.path(), path);
        say(primary.end(), primary.end());
        open();
    }
    void open() {
        applier.reset();
        applier = Applier::open(linked_sqlite(), path, intent, *reader).value();
    }
    void say(const LogPoint& done, const LogPoint& target) {
        Intent said;
        said.done = said.durable = done;
        said.target = target;
        REQUIRE(intent.write(said, true).ok());
    }
    // As a power cut would: the last writing was in another boot.
    void say_other_boot(const LogPoint& durable) { say_other_boot(durable, durable); }
    void say_other_boot(const LogPoint& durable, const LogPoint& target) {
        say(durable, target);
        File raw = File::open(dir.path("intent"), File::Mode::write).value();
        for (uint64_t slot = 0; slot < 4; ++slot) {
            Bytes bytes(144);
            if (!raw.read_exactly_at(slot * 4096, bytes).ok()) continue;
            bytes[112] ^= 1;
            const uint64_t hash = hash64(ByteView(bytes).first(136));
            for (int i = 0; i < 8; ++i) bytes[136 + i] = static_cast<uint8_t>(hash >> (8 * i));
            REQUIRE(raw.write_at(slot * 4096, bytes).ok());
        }
        intent = IntentFile::open(dir.path("intent")).value();
    }
    ApplyOutcome apply() { return applier->apply(*reader, primary.end().position.lsn).value(); }
    std::string ask(const std::string& sql) { return StockSqlite(path).ask(sql); }
    std::vector<Bytes> image() {
        StockSqlite db(path);
        sqlite3_int64 bytes = 0;
        unsigned char* content = sqlite3_serialize(db.connection(), "main", &bytes, 0);
        const uint32_t size = primary.page_bytes();
        std::vector<Bytes> pages;
        for (sqlite3_int64 at = 0; at < bytes; at += size) {
            pages.emplace_back(content + at, content + at + size);
        }
        sqlite3_free(content);
        if (!pages.empty()) pages[0][18] = 2;
        return pages;
    }
    void insert(int id, int bytes = 100) {
        primary.commit("INSERT INTO t VALUES(" + std::to_string(id) + ", zeroblob(" +
                       std::to_string(bytes) + "))");
    }
};

}  // namespace

TEST_CASE("applier: the database follows the log") {
    Replica replica;
    for (int i = 1; i < 20; ++i) {
        replica.insert(i);
        const ApplyOutcome outcome = replica.apply();
        CHECK_FALSE(outcome.needs_sync);
        CHECK(outcome.applied == replica.primary.end());
        CHECK(replica.ask("SELECT count(*) FROM t") == std::to_string(i));
    }
    CHECK(replica.image() == replica.primary.image());
}

TEST_CASE("applier: records behind are merged, the last image of a page wins") {
    Replica replica;
    for (int i = 1; i < 50; ++i) replica.insert(i, 1000);
    replica.primary.commit("DELETE FROM t WHERE id > 5");
    replica.primary.commit("VACUUM");
    const uint32_t before = replica.applier->handle().header().value()->change;
    CHECK(replica.apply().applied == replica.primary.end());
    CHECK(replica.applier->handle().header().value()->change == before + 1);
    CHECK(replica.image() == replica.primary.image());
    CHECK(replica.ask("PRAGMA integrity_check") == "ok");
}

TEST_CASE("applier: a record larger than any batch is one commit") {
    Replica replica;
    replica.insert(1);
    replica.insert(2, 24 << 20);
    replica.insert(3);
    CHECK(replica.apply().applied == replica.primary.end());
    CHECK(replica.image() == replica.primary.image());
    REQUIRE(replica.applier->tend().ok());
    CHECK(replica.applier->handle().checkpoint_info()->backfilled > 0);
}

TEST_CASE("applier: epoch records advance the position without a page") {
    Replica replica;
    replica.primary.mark(RecordKind::epoch);
    const uint32_t before = replica.applier->handle().header().value()->change;
    CHECK(replica.apply().applied == replica.primary.end());
    CHECK(replica.applier->handle().header().value()->change == before);
    replica.insert(1);
    CHECK(replica.apply().applied == replica.primary.end());
}

TEST_CASE("applier: it stops before a rebase and asks for a sync") {
    Replica replica;
    replica.insert(1);
    const LogPoint before = replica.primary.end();
    replica.primary.mark(RecordKind::rebase);
    replica.insert(2);
    const ApplyOutcome outcome = replica.apply();
    CHECK(outcome.needs_sync);
    CHECK(outcome.applied == before);
    CHECK(replica.ask("SELECT count(*) FROM t") == "1");
}

TEST_CASE("applier: a record that does not continue this history is not applied") {
    Replica replica;
    LogPoint wrong = replica.primary.end();
    wrong.chain.bytes[0] ^= 1;
    replica.say(wrong, wrong);
    replica.open();
    replica.insert(1);
    CHECK(replica.apply().needs_sync);
    CHECK(replica.ask("SELECT count(*) FROM t") == "0");
}

// The next commit covers everything up to the interrupted commit's target, never less.
TEST_CASE("applier: an interrupted commit is covered by one commit at open") {
    Replica replica;
    const LogPoint start = replica.primary.end();
    for (int i = 1; i < 10; ++i) replica.insert(i);
    const LogPoint target = replica.primary.end();
    replica.applier.reset();
    replica.say(start, target);
    const uint32_t before =
        SqliteHandle::open(linked_sqlite(), replica.path, {}).value()->header().value()->change;
    replica.open();
    CHECK(replica.applier->applied() == target);
    CHECK(replica.applier->handle().header().value()->change == before + 1);
    CHECK(replica.ask("SELECT count(*) FROM t") == "9");
}

TEST_CASE("applier: after a reboot everything since the durable point is replayed at once") {
    Replica replica;
    for (int i = 1; i < 5; ++i) replica.insert(i);
    REQUIRE(replica.apply().applied == replica.primary.end());
    REQUIRE(replica.applier->settle().ok());
    const LogPoint durable = replica.applier->durable();
    CHECK(durable == replica.primary.end());
    for (int i = 5; i < 9; ++i) replica.insert(i);
    replica.primary.mark(RecordKind::epoch);
    replica.applier.reset();
    replica.say_other_boot(durable);
    replica.open();
    CHECK(replica.applier->applied() == replica.primary.end());
    CHECK(replica.image() == replica.primary.image());
}

// The database may be at the last record, so less must not become visible; and it may be one that
// the primary has never shown.
TEST_CASE("applier: after a reboot, a last commit waits for the primary's word") {
    Replica replica;
    replica.insert(1);
    REQUIRE(replica.apply().applied == replica.primary.end());
    REQUIRE(replica.applier->settle().ok());
    const LogPoint durable = replica.applier->durable();
    replica.insert(2);
    replica.insert(3);
    replica.applier.reset();
    replica.say_other_boot(durable);
    replica.open();
    CHECK(replica.applier->applied() == durable);
    CHECK(replica.applier->waits_for()->lsn == replica.primary.end().position.lsn);
    const Lsn last = replica.primary.end().position.lsn;
    CHECK(replica.applier->apply(*replica.reader, Lsn(last.value - 1))->applied == durable);
    CHECK(replica.applier->apply(*replica.reader, last)->applied == replica.primary.end());
    CHECK(replica.image() == replica.primary.image());
}

TEST_CASE(
    "applier: after a reboot, what the database is not at does not hold up what is before it") {
    Replica replica;
    replica.insert(1);
    REQUIRE(replica.apply().applied == replica.primary.end());
    REQUIRE(replica.applier->settle().ok());
    const LogPoint durable = replica.applier->durable();
    replica.insert(2);
    replica.insert(3);
    const LogPoint settled = replica.primary.end();
    replica.insert(4);
    replica.applier.reset();
    replica.say_other_boot(durable);
    replica.open();
    CHECK(replica.applier->applied() == durable);
    REQUIRE(replica.applier->replay_without_last(*replica.reader).ok());
    CHECK(replica.applier->applied() == settled);
    CHECK(replica.ask("SELECT max(id) FROM t") == "3");
    CHECK(replica.apply().applied == replica.primary.end());
}

TEST_CASE("applier: after a reboot, a last commit that was ever to be applied is applied again") {
    Replica replica;
    const LogPoint durable = replica.primary.end();
    replica.insert(1);
    replica.applier.reset();
    replica.say_other_boot(durable, replica.primary.end());
    replica.open();
    CHECK(replica.applier->applied() == replica.primary.end());
    CHECK(replica.image() == replica.primary.image());
}

TEST_CASE("applier: a commit that an ABORT takes back is never applied") {
    Replica replica;
    replica.insert(1);
    replica.insert(2);
    const Lsn taken_back = replica.primary.end().position.lsn;
    replica.primary.take_back(taken_back);
    CHECK(replica.apply().applied == replica.primary.end());
    CHECK(replica.ask("SELECT group_concat(id) FROM t") == "1");
}

TEST_CASE("applier: the last record here is not applied while the primary has settled more") {
    CHECK(appliable(Lsn(5), Lsn(3)) == Lsn(3));
    CHECK(appliable(Lsn(5), Lsn(5)) == Lsn(5));
    CHECK(appliable(Lsn(5), Lsn(6)) == Lsn(4));
    CHECK(appliable(Lsn(0), Lsn(6)) == Lsn(0));
}

TEST_CASE("applier: an interrupted sync leads to another sync") {
    Replica replica;
    Intent syncing;
    syncing.syncing = true;
    REQUIRE(replica.intent.write(syncing, true).ok());
    replica.open();
    replica.insert(1);
    CHECK(replica.apply().needs_sync);
    CHECK(replica.ask("SELECT count(*) FROM t") == "0");
}

// Killed at any moment, the database is at a commit of the primary, and goes on from there.
TEST_CASE("applier: killed again and again, it shows only states of the primary, in order") {
    Replica replica;
    for (int i = 1; i <= 40; ++i) replica.insert(i, 2000);
    replica.applier.reset();
    int shown = 0;
    for (int round = 1; round <= 8; ++round) {
        int ready[2];
        REQUIRE(pipe(ready) == 0);
        const pid_t child = fork();
        if (child == 0) {
            replica.open();
            char byte = 1;
            for (uint64_t lsn = replica.applier->applied().position.lsn.value + 1; lsn <= 40;
                 ++lsn) {
                replica.applier->apply(*replica.reader, Lsn(lsn)).ok();
                if (write(ready[1], &byte, 1) != 1) _exit(1);
            }
            close(ready[1]);
            pause();
        }
        close(ready[1]);
        char byte;
        for (int i = 0; i < 4; ++i) {
            if (read(ready[0], &byte, 1) != 1) break;
        }
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        close(ready[0]);
        const int now = std::stoi(replica.ask("SELECT count(*) FROM t"));
        CHECK(now == std::stoi(replica.ask("SELECT coalesce(max(id), 0) FROM t")));
        CHECK(now >= shown);
        CHECK(replica.ask("PRAGMA integrity_check") == "ok");
        shown = now;
        if (now == 40) break;
    }
    replica.open();
    CHECK(replica.apply().applied == replica.primary.end());
    CHECK(replica.image() == replica.primary.image());
}
