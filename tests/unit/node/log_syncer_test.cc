#include "replicator/node/log_syncer.h"

#include <doctest/doctest.h>

#include "tests/support/eventually.h"
#include "tests/unit/log/log_fixture.h"

using namespace tanist;

namespace {

struct SyncerFixture : LogFixture {
    std::atomic<uint64_t> durable{0};
    std::atomic<int> again{0};
    LogSyncer syncer{[this](Lsn lsn) { durable = lsn.value; }, [this] { again += 1; }};

    void put() {
        auto begun = log->begin_sync(true);
        REQUIRE(begun.ok());
        REQUIRE(begun->has_value());
        syncer.put(std::move(**begun));
    }
    std::optional<LogSyncer::Done> await() {
        std::optional<LogSyncer::Done> done;
        CHECK(testing::eventually([&] { return (done = syncer.take()).has_value(); }));
        return done;
    }
};

}  // namespace

TEST_CASE_FIXTURE(SyncerFixture, "log_syncer: says how far the log is durable before it is asked") {
    append(3);
    put();
    CHECK(testing::eventually([&] { return durable == 3; }));
    auto done = await();
    REQUIRE(done);
    CHECK(log->end_sync(done->task, done->outcome).value() == Lsn(3));
    CHECK(again == 0);
}

TEST_CASE_FIXTURE(SyncerFixture, "log_syncer: who came too early is called") {
    append(1);
    syncer.ask_again();
    put();
    CHECK(testing::eventually([&] { return again == 1; }));
    CHECK(await());
}
