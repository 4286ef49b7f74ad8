#include "replicator/node/store_loop.h"

#include <doctest/doctest.h>

#include "tests/unit/log/log_fixture.h"

using namespace tanist;

namespace {

constexpr uint64_t kRecords = 30;

// Commands as the net thread makes them, of the records of a primary's log.
struct StoreFixture : LogFixture {
    ReplicaShared shared{linked_sqlite(), Layout{dir.path("replica.db")}, Settings{}};
    StoreLoop store{shared};

    StoreFixture() {
        REQUIRE(make_directory(shared.layout.directory).ok());
        shared.control = Control::open(shared.layout.control(), true, false).value();
        REQUIRE(shared.open_log(group_of(7)).ok());
        append(kRecords);
    }
    std::deque<StoreCommand> commands(uint64_t lsn) {
        auto reader = log->reader();
        const RecordHeader header = reader->header_of(Lsn(lsn)).value();
        const auto payload = std::make_shared<Bytes>(reader->payload(header).value());
        std::deque<StoreCommand> made;
        made.push_back(store_command::Begin{header});
        made.push_back(store_command::Part{Frame(payload, *payload), *payload});
        made.push_back(store_command::Finish{header});
        return made;
    }
    bool append_here(uint64_t lsn) {
        std::deque<StoreCommand> made = commands(lsn);
        return store.append_here(made);
    }
    std::vector<std::string> told() {
        std::vector<std::string> said;
        for (const ReceiverEvent& event : shared.to_net.take()) {
            if (const auto* appended = std::get_if<receiver_event::Appended>(&event))
                said.push_back("appended " + std::to_string(appended->lsn.value));
            if (const auto* durable = std::get_if<receiver_event::Durable>(&event))
                said.push_back("durable " + std::to_string(durable->lsn.value));
        }
        return said;
    }
};

// Retention of a replica that has applied everything.
struct RetainFixture : LogFixture {
    Lsn first_kept(const std::string& archive_command) {
        Settings settings;
        settings.log_segment_bytes = 64 << 10;
        settings.archive.command = archive_command;
        ReplicaShared shared{linked_sqlite(), Layout{dir.path("replica.db")}, settings};
        REQUIRE(make_directory(shared.layout.directory).ok());
        shared.control = Control::open(shared.layout.control(), true, false).value();
        REQUIRE(shared.open_log(group_of(7)).ok());
        log = std::move(shared.log);
        append(1000);
        shared.log = std::move(log);
        shared.keep_from_lsn.store(1001);
        StoreLoop store(shared);
        store.start();
        store.stop();
        return shared.log->stat().first;
    }
};

}  // namespace

// Which of the two threads stores a record depends on the disk.
TEST_CASE_FIXTURE(StoreFixture, "store_loop: whoever stores, all is told in the log's order") {
    store.start();
    for (uint64_t lsn = 1; lsn <= kRecords; ++lsn) {
        std::deque<StoreCommand> made = commands(lsn);
        if (store.append_here(made)) store.sync_here();
        store.hand_over(made);
    }
    store.stop();
    std::vector<std::string> appended = told();
    std::erase_if(appended, [](const std::string& said) { return said.starts_with("durable"); });
    REQUIRE(appended.size() == kRecords);
    for (uint64_t lsn = 1; lsn <= kRecords; ++lsn)
        CHECK(appended[lsn - 1] == "appended " + std::to_string(lsn));
}

TEST_CASE_FIXTURE(StoreFixture, "store_loop: nothing is stored here while the thread has work") {
    std::deque<StoreCommand> first = commands(1);
    store.hand_over(first);  // the thread is not started
    CHECK_FALSE(append_here(2));
    CHECK(told().empty());
}

TEST_CASE_FIXTURE(StoreFixture, "store_loop: what was stored here is durable when it stops") {
    store.start();
    REQUIRE(append_here(1));
    store.stop();
    CHECK(told() == std::vector<std::string>{"appended 1", "durable 1"});
}

TEST_CASE_FIXTURE(RetainFixture, "store_loop: what is applied leaves a replica's log") {
    CHECK(first_kept("") > Lsn(1));
}

// What the primary has not archived when it is lost is archived from here.
TEST_CASE_FIXTURE(RetainFixture, "store_loop: a replica that may have to archive keeps its log") {
    CHECK(first_kept("cp %p /archive/%n") == Lsn(1));
}
