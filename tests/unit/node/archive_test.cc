#include "replicator/node/archive.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace tanist;
using namespace std::chrono_literals;

namespace {

LogPoint point(uint64_t lsn, uint8_t history = 1) {
    LogPoint at{{Epoch(3), Lsn(lsn)}, {}};
    at.chain.bytes.fill(static_cast<uint8_t>(lsn + 100 * history));
    return at;
}

ClosedSegment segment(uint64_t first, uint64_t last) {
    return {std::to_string(first) + ".log", point(first - 1), point(last)};
}

// An archive over a log whose closed segments the test names.
struct Desk {
    Archive archive;
    std::vector<ClosedSegment> closed;
    std::vector<std::string> run;   // the command, with these segments
    std::vector<uint64_t> kept;     // positions that were written
    std::vector<std::string> said;  // "event: reason"
    std::string refusal;            // of the command
    std::string disk;               // why no position can be written
    Instant now{1'000'000'000'000};

    explicit Desk(std::optional<LogPoint> from = std::nullopt) : archive(from) {}

    // Until nothing is to be done at once.
    void tick(Nanos after = Nanos(0)) {
        now = now + after;
        std::vector<ArchiveEvent> events = {archive_event::Tick{}};
        while (!events.empty()) {
            const auto actions = archive.step(events.front(), now);
            events.erase(events.begin());
            for (const ArchiveAction& action : actions) {
                std::visit([&](const auto& a) { perform(a, events); }, action);
            }
        }
    }
    void perform(const archive_action::Look& look, std::vector<ArchiveEvent>& events) {
        const auto next = std::find_if(closed.begin(), closed.end(), [&](const auto& one) {
            return one.last.position.lsn > look.after;
        });
        events.push_back(
            archive_event::Looked{next == closed.end() ? std::nullopt : std::optional(*next)});
    }
    void perform(const archive_action::Run& action, std::vector<ArchiveEvent>& events) {
        run.push_back(action.segment.name);
        events.push_back(archive_event::Ended{refusal});
    }
    void perform(const archive_action::Keep& action, std::vector<ArchiveEvent>& events) {
        if (disk.empty()) kept.push_back(action.position.position.lsn.value);
        events.push_back(archive_event::Kept{disk});
    }
    void perform(const archive_action::Say& action, std::vector<ArchiveEvent>&) {
        said.push_back(action.event + ": " + action.reason);
    }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("archive: closed segments are handed over in order, each once, and then remembered") {
    Desk desk;
    desk.closed = {segment(1, 10), segment(11, 30)};
    desk.tick();
    CHECK(desk.run == Names{"1.log", "11.log"});
    CHECK(desk.kept == std::vector<uint64_t>{0, 10, 30});
    desk.tick();
    desk.closed.push_back(segment(31, 40));
    desk.tick();
    CHECK(desk.run == Names{"1.log", "11.log", "31.log"});
    CHECK(desk.said.empty());
}

TEST_CASE("archive: what was archived before a restart is not handed over again") {
    Desk desk(point(10));
    desk.closed = {segment(1, 10), segment(11, 30)};
    desk.tick();
    CHECK(desk.run == Names{"11.log"});
}

TEST_CASE(
    "archive: a segment that is refused is tried again, later and later, and none overtakes it") {
    Desk desk;
    desk.closed = {segment(1, 10), segment(11, 30)};
    desk.refusal = "full";
    desk.tick();
    CHECK(desk.run.size() == 1);
    desk.tick(999ms);
    CHECK(desk.run.size() == 1);
    desk.tick(1ms);
    CHECK(desk.run.size() == 2);
    CHECK(desk.archive.deadline() - desk.now == 2s);
    for (int i = 0; i < 10; ++i) desk.tick(60s);
    CHECK(desk.archive.deadline() - desk.now == 60s);
    CHECK(std::count(desk.run.begin(), desk.run.end(), "1.log") == 12);
    CHECK(desk.kept == std::vector<uint64_t>{0});
    CHECK(desk.archive.needs() == Lsn(1));
    desk.refusal = "";
    desk.tick(60s);
    CHECK(desk.kept == std::vector<uint64_t>{0, 10, 30});
}

TEST_CASE("archive: a failure is one line in the log, and so is its end") {
    Desk desk;
    desk.closed = {segment(1, 10)};
    desk.refusal = "no room";
    for (int i = 0; i < 5; ++i) desk.tick(60s);
    REQUIRE(desk.said.size() == 1);
    CHECK(desk.said[0].ends_with("no room"));
    CHECK(desk.archive.view().failing == "no room");
    CHECK(desk.archive.view().failures == 5);
    desk.refusal = "";
    desk.tick(60s);
    REQUIRE(desk.said.size() == 2);
    CHECK(desk.archive.view().failing.empty());
}

TEST_CASE("archive: after a success the next failure waits a short time again") {
    Desk desk;
    desk.closed = {segment(1, 10)};
    desk.refusal = "full";
    for (int i = 0; i < 5; ++i) desk.tick(60s);
    desk.refusal = "";
    desk.tick(60s);
    desk.refusal = "full";
    desk.closed.push_back(segment(11, 20));
    desk.tick();
    CHECK(desk.archive.deadline() - desk.now == kArchiveRetryFirst);
}

TEST_CASE("archive: a position that cannot be written counts for nothing, and is written later") {
    Desk desk(point(0));
    desk.closed = {segment(1, 10)};
    desk.disk = "no space";
    desk.tick();
    CHECK(desk.archive.needs() == Lsn(1));
    CHECK(desk.archive.view().failing == "no space");
    desk.disk = "";
    desk.tick(1s);
    CHECK(desk.kept == std::vector<uint64_t>{10});
    CHECK(desk.archive.needs() == Lsn(11));
    CHECK(desk.run == Names{"1.log"});
}

TEST_CASE("archive: segments that the log dropped first are a gap, counted and told once") {
    Desk desk(point(10));
    desk.closed = {segment(31, 40)};
    desk.refusal = "down";
    desk.tick();
    desk.tick(1s);
    CHECK(desk.archive.view().lost == 20);
    CHECK(std::count_if(desk.said.begin(), desk.said.end(), [](const std::string& line) {
              return line.find("records 11 to 30 left the log") != std::string::npos;
          }) == 1);
    desk.refusal = "";
    desk.tick(2s);
    CHECK(desk.kept == std::vector<uint64_t>{40});
}

TEST_CASE(
    "archive: where it begins is remembered, so what is dropped before a first success is a gap") {
    Desk desk;
    desk.closed = {segment(6, 10)};
    desk.refusal = "down";
    desk.tick();
    CHECK(desk.kept == std::vector<uint64_t>{5});
    desk.closed = {segment(31, 40)};
    desk.tick(1s);
    CHECK(desk.archive.view().lost == 25);
}

TEST_CASE("archive: at rest when there is nothing to do, or when it fails") {
    Desk desk(point(0));
    CHECK(desk.archive.at_rest());
    desk.closed = {segment(1, 10)};
    auto actions = desk.archive.step(archive_event::Tick{}, desk.now);
    desk.archive.step(archive_event::Looked{desk.closed[0]}, desk.now);
    CHECK_FALSE(desk.archive.at_rest());
    desk.archive.step(archive_event::Ended{"full"}, desk.now);
    CHECK(desk.archive.at_rest());
}

TEST_CASE("archive: a position counts only in the history that it is of") {
    const ArchivePlace place{.base = point(5), .end = point(50), .same_lsn = point(20)};
    CHECK(begin_archive_at(point(20), place) == point(20));
    CHECK(begin_archive_at(point(20, 2), place) == std::nullopt);
    CHECK(begin_archive_at(point(60), place) == std::nullopt);
    CHECK(begin_archive_at(std::nullopt, place) == std::nullopt);
    // What the log no longer has cannot be compared; the gap is reported.
    CHECK(begin_archive_at(point(3), {point(5), point(50), std::nullopt}) == point(3));
}

TEST_CASE("archive: the position's file is read whole or not at all") {
    const Bytes bytes = encode_archived(point(77));
    CHECK(decode_archived(bytes) == point(77));
    for (size_t i = 0; i < bytes.size(); ++i) {
        Bytes broken = bytes;
        broken[i] ^= 1;
        CHECK(decode_archived(broken) == std::nullopt);
        CHECK(decode_archived(ByteView(bytes).first(i)) == std::nullopt);
    }
}

TEST_CASE("archive: the command gets path, name and epoch") {
    ArchiveFacts facts{.database = "/srv/app.db",
                       .path = "/srv/app.db-tanist/log/1.log",
                       .name = "1.log",
                       .epoch = Epoch(7),
                       .first = Lsn(1),
                       .last = Lsn(10)};
    CHECK(*archive_command_text("cp %p '/a/%e/%n' 100%% 5%", facts) ==
          "cp /srv/app.db-tanist/log/1.log '/a/7/1.log' 100% 5%");
    const auto environment = environment_of(facts);
    for (const char* wanted :
         {"TANIST_DATABASE=/srv/app.db", "TANIST_PATH=/srv/app.db-tanist/log/1.log",
          "TANIST_NAME=1.log", "TANIST_EPOCH=7", "TANIST_FIRST_LSN=1", "TANIST_LAST_LSN=10"}) {
        CHECK_MESSAGE(std::count(environment.begin(), environment.end(), wanted) == 1, wanted);
    }
}

TEST_CASE("archive: a path that a shell would take apart is never put into a command") {
    ArchiveFacts facts;
    for (const char* path : {"/a b", "/a;b", "/$HOME", "/a'b", "/a`b", "/a\nb"}) {
        facts.path = path;
        CHECK_MESSAGE(!archive_command_text("cp %p /archive", facts).ok(), path);
        CHECK_MESSAGE(archive_command_text("cp \"$TANIST_PATH\" /archive", facts).ok(), path);
    }
}
