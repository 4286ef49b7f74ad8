#include "replicator/sync/sync_log.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/sync/install_plan.h"
#include "tests/unit/log/log_fixture.h"

using namespace tanist;

namespace {

namespace fs = std::filesystem;

// A log of two segments or more, and a sync's that begins far behind it and has some, too.
struct SyncLogFixture : LogFixture {
    SyncLogFiles files{log_dir(), dir.path("base")};
    LogPoint before;
    LogPoint after;

    SyncLogFixture() {
        REQUIRE(make_directory(dir.path("base")).ok());
        append(200);
        REQUIRE(log->sync().ok());
        before = log->end();
        const LogPoint base{{Epoch(1), Lsn(5000)}, {}};
        log = files.begin(group_of(7), base, options).value();
        append(200);
        REQUIRE(log->sync().ok());
        after = log->end();
        log.reset();
        REQUIRE(write_install_plan(dir.path("base"), {.base = base, .end = after}).ok());
    }
    std::string next() const { return files.path(); }
    std::string moving() const { return dir.path("base/moving"); }
    void remove_old(size_t count) const {
        const std::vector<std::string> names = list_directory(log_dir()).value();
        for (const std::string& name : names) {
            if (name != "next" && count-- > 0) fs::remove(log_dir() + "/" + name);
        }
    }
    void move(size_t count) const {
        const std::vector<std::string> names = list_directory(next()).value();
        for (const std::string& name : names) {
            if (count-- > 0) fs::rename(next() + "/" + name, log_dir() + "/" + name);
        }
    }
    // Where a crash cut keep() short: 0 before it began.
    void crash_at(int step) const {
        if (step >= 1) remove_old(1);
        if (step >= 2) remove_old(1000);
        if (step >= 3) fs::rename(dir.path("base/install"), moving());
        if (step >= 4) move(1);
        if (step >= 5) move(1000);
        if (step >= 6) fs::remove(next());
    }
    bool is_the_log() {
        return reopen() && log->end() == after && !fs::exists(next()) && !fs::exists(moving()) &&
               !has_install_plan(dir.path("base"));
    }
};

}  // namespace

TEST_CASE("sync_log: wherever a crash cuts it short, keeping it again makes it the log") {
    for (int step = 0; step <= 6; ++step) {
        CAPTURE(step);
        SyncLogFixture sync;
        sync.crash_at(step);
        REQUIRE(sync.files.keep().ok());
        CHECK_MESSAGE(sync.is_the_log(), sync.error);
    }
}

TEST_CASE_FIXTURE(SyncLogFixture, "sync_log: dropped, it leaves the log as it was") {
    REQUIRE(files.drop().ok());
    REQUIRE(reopen());
    CHECK(log->end() == before);
    CHECK_FALSE(fs::exists(next()));
    CHECK_FALSE(has_install_plan(dir.path("base")));
}

// What it holds is appended while it moves.
TEST_CASE_FIXTURE(SyncLogFixture, "sync_log: an open one goes on where it was moved to") {
    log = Log::open(next(), group_of(7), options).value();
    REQUIRE(files.keep().ok());
    log->moved_to(log_dir());
    append(300);
    REQUIRE(log->sync().ok());
    const LogPoint end = log->end();
    REQUIRE(reopen());
    CHECK(log->end() == end);
}

TEST_CASE("install_plan: a damaged one is not believed") {
    TempDir dir;
    const InstallPlan plan{{{Epoch(1), Lsn(2)}, {}}, {{Epoch(1), Lsn(9)}, {}}, 4096, 70, true};
    REQUIRE(write_install_plan(dir.root(), plan).ok());
    CHECK(read_install_plan(dir.root()).value() == plan);
    File file = File::open(dir.path("install"), File::Mode::write).value();
    const Bytes byte(1, uint8_t{0x5a});
    REQUIRE(file.write_at(40, byte).ok());
    CHECK(read_install_plan(dir.root()).error().code == Errc::corrupt);
}
