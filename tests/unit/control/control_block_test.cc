#include "replicator/control/control_block.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "replicator/base/death_notice.h"
#include "replicator/control/layout.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

Control made(const std::string& path, bool presence) {
    auto control = Control::open(path, true, presence);
    REQUIRE_MESSAGE(control.ok(), (control.ok() ? "" : control.error().message));
    return std::move(*control);
}

}  // namespace

TEST_CASE("control: two mappings see one block") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    Control client = made(dir.path("control"), true);
    engine->role.store(static_cast<uint32_t>(Role::primary));
    CHECK(client->role.load() == static_cast<uint32_t>(Role::primary));
}

TEST_CASE("control: an unmade block is not found unless it may be made") {
    TempDir dir;
    auto control = Control::open(dir.path("control"), false, false);
    REQUIRE(!control.ok());
    CHECK(control.error().code == Errc::not_found);
}

TEST_CASE("control: a block of another boot is made anew") {
    TempDir dir;
    {
        Control old = made(dir.path("control"), false);
        old->epoch.store(7);
        old->boot[3].fetch_add(1);
    }
    CHECK(!Control::open(dir.path("control"), false, false).ok());
    CHECK(made(dir.path("control"), true)->epoch.load() == 0);
}

TEST_CASE("control: a block of another version in use is left alone") {
    TempDir dir;
    Control other = made(dir.path("control"), true);
    other->version.store(99);
    auto control = Control::open(dir.path("control"), true, true);
    REQUIRE(!control.ok());
    CHECK(control.error().code == Errc::version);
    CHECK(other->version.load() == 99);
}

TEST_CASE("control: presence is seen while a client lives and not longer") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    CHECK(engine.nobody_present());
    {
        Control client = made(dir.path("control"), true);
        CHECK(!engine.nobody_present());
    }
    CHECK(engine.nobody_present());
}

TEST_CASE("control: a captured point is read as it was written") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    engine.set_captured({1, 2, 3, 4, {Epoch{5}, Lsn{6}}});
    const CapturedPoint point = engine.captured();
    CHECK(point.salt1 == 1);
    CHECK(point.salt2 == 2);
    CHECK(point.frame == 3);
    CHECK(point.change == 4);
    CHECK(to_string(point.position) == "5:6");
}

// An engine killed between two stores must not hang the application.
TEST_CASE("control: a writer that died in the middle yields zeros until the next one") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    engine.set_captured({1, 2, 3, 4, {Epoch{5}, Lsn{6}}});
    engine->captured_sequence.fetch_add(1);
    CHECK(engine.captured().position == Position{});
    engine.set_captured({1, 2, 3, 4, {Epoch{5}, Lsn{7}}});
    CHECK(engine.captured().position == Position{Epoch{5}, Lsn{7}});
}

TEST_CASE("control: a commit rings once when the engine sleeps and not when it is awake") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    engine.ring(false);
    CHECK(engine->bell.load() == 0);
    engine->bell_mode.store(static_cast<uint32_t>(BellMode::asleep));
    engine.ring(false);
    engine.ring(false);
    CHECK(engine->bell.load() == 1);
    engine->bell_mode.store(static_cast<uint32_t>(BellMode::napping));
    engine.ring(false);
    CHECK(engine->bell.load() == 1);
    engine.ring(true);
    CHECK(engine->bell.load() == 2);
}

TEST_CASE("control: waiting for capture ends when it moves") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    Control client = made(dir.path("control"), true);
    const uint32_t tick = client->captured_tick.load();
    std::thread waiter([&] {
        while (client.captured().position.lsn != Lsn{9}) {
            client.wait_captured(tick, std::chrono::seconds(60));
        }
    });
    engine.set_captured({1, 2, 3, 4, {Epoch{1}, Lsn{9}}});
    waiter.join();
    CHECK(client->captured_waiters.load() == 0);
}

TEST_CASE("control: texts are cut to their field and end with a zero") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    engine.set_problem(std::string(1000, 'x'));
    CHECK(engine.problem() == std::string(255, 'x'));
    engine.set_problem("the disk is full");
    CHECK(engine.problem() == "the disk is full");
}

TEST_CASE("control: a peer's report is read as it was written") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    PeerReport report;
    report.state = PeerState::streaming;
    report.applied = Lsn{41};
    report.endpoint = "tcp://127.0.0.1:7401";
    engine.set_peer(2, report);
    CHECK(engine.peer(2).state == PeerState::streaming);
    CHECK(engine.peer(2).applied == Lsn{41});
    CHECK(engine.peer(2).endpoint == "tcp://127.0.0.1:7401");
}

TEST_CASE("control: an engine lives while its flock is held") {
    TempDir dir;
    CHECK(!engine_lives(dir.path("ship.lock")));
    auto lock = File::open(dir.path("ship.lock"), File::Mode::create);
    REQUIRE(lock.ok());
    CHECK(!engine_lives(dir.path("ship.lock")));
    REQUIRE(*lock->try_lock(true));
    CHECK(engine_lives(dir.path("ship.lock")));
    lock->close();
    CHECK(!engine_lives(dir.path("ship.lock")));
}

TEST_CASE("control: an engine at work says so, one that drains or was killed does not") {
    TempDir dir;
    Control control = made(dir.path("control"), false);
    const auto say = [&](EngineState state) {
        control->engine_state.store(static_cast<uint32_t>(state));
        return engine_sign(*control);
    };
    CHECK(say(EngineState::none) == EngineSign::gone);
    CHECK(say(EngineState::running) == EngineSign::unknown);
    {
        DeathNotice life;
        life.post(control->engine_life);
        CHECK(say(EngineState::starting) == EngineSign::at_work);
        CHECK(say(EngineState::running) == EngineSign::at_work);
        CHECK(say(EngineState::draining) == EngineSign::gone);
    }
    const pid_t engine = ::fork();
    if (engine == 0) {
        DeathNotice life;
        life.post(control->engine_life);
        say(EngineState::running);
        ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(engine, nullptr, 0);
    CHECK(engine_sign(*control) == EngineSign::gone);
}

TEST_CASE("layout: the directory stands beside the database, symbolic links resolved") {
    TempDir dir;
    const Layout layout(dir.path("app.db"));
    CHECK(layout.directory == real_path(dir.path("app.db")) + "-tanist");
    CHECK(layout.ship_lock() == layout.directory + "/ship.lock");
}

TEST_CASE("control: a committer finds the LSN of its own commit and of no other") {
    TempDir dir;
    Control control = made(dir.path("control"), false);
    const WalMoment mine{.change = 7, .salt1 = 1, .salt2 = 2, .frame = 30};
    CHECK(!control.find_commit_lsn(mine));
    control.set_commit_lsn(mine, Lsn{12});
    CHECK(control.find_commit_lsn(mine) == Lsn{12});
    WalMoment other = mine;
    other.frame = 31;
    CHECK(!control.find_commit_lsn(other));
    // The same entry, a full turn later.
    other.change = 7 + kCommitLsns;
    control.set_commit_lsn(other, Lsn{99});
    CHECK(!control.find_commit_lsn(mine));
}

TEST_CASE("control: an acknowledgement ends the wait for it") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    Control client = made(dir.path("control"), true);
    engine->acks.store(1);
    const uint32_t tick = client->ack_tick.load();
    std::thread replica([&] {
        while (engine->ack_waiters.load() == 0) std::this_thread::yield();
        engine.set_ack(0, {Lsn{3}, Lsn{2}, Lsn{1}});
        engine.bump_acks(true);
    });
    client.wait_acks(tick, std::chrono::hours(1), true);
    replica.join();
    CHECK(client.acks().all()[0].durable == Lsn{2});
}

TEST_CASE("control: whoever completes a batch calls the engine, and nobody before") {
    TempDir dir;
    Control engine = made(dir.path("control"), false);
    Control client = made(dir.path("control"), true);
    engine->gather.shipped_ns.store(boot_now().ns + Nanos(std::chrono::hours(1)).count());
    engine.set_gather(3);
    CHECK_FALSE(client.count_waiting());
    CHECK_FALSE(client.count_waiting());
    CHECK_FALSE(engine.batch_is_complete());
    CHECK(client.count_waiting());
    CHECK(engine.batch_is_complete());
}

TEST_CASE("control: long after something was shipped, each commit that waits calls the engine") {
    TempDir dir;
    Control client = made(dir.path("control"), true);
    client.set_gather(1000);
    CHECK(client.count_waiting());
    CHECK_FALSE(client.batch_is_complete());
}

TEST_CASE("control: a decision on a prepared commit hits its own attempt only") {
    const uint32_t first = with_phase(kPrepareAttempt, PreparePhase::posted);
    const uint32_t second = first + kPrepareAttempt;
    CHECK(phase_of(second) == PreparePhase::posted);
    CHECK(first != second);
    CHECK(with_phase(first, PreparePhase::granted) != with_phase(second, PreparePhase::granted));
}
