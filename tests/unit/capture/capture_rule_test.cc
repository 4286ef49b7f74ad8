#include <doctest/doctest.h>

#include "replicator/capture/capture_rule.h"

namespace tanist {
namespace {

using Action = CaptureDecision::Action;

WalIndexHeader header(uint32_t salt, uint32_t frame, uint32_t change) {
    WalIndexHeader h;
    h.version = kWalIndexVersion;
    h.page_bytes = 4096;
    h.salt = {salt, 7};
    h.max_frame = frame;
    h.change = change;
    return h;
}
CapturePoint known(uint32_t frame, uint32_t change, bool live = true) {
    return {{100, 7, frame, change, 11, 12}, 4096, live};
}
constexpr WalChecksum kSame{11, 12};
constexpr WalChecksum kOther{99, 12};
constexpr uint32_t kMarked = kChangeMark + 50;

TEST_CASE("capture_rule: new frames under the same salts follow the known one") {
    const CaptureDecision d = decide_capture(known(5, 3), header(100, 9, 4), kSame);
    CHECK(d.action == Action::take);
    CHECK(d.first_frame == 6);
    CHECK_FALSE(d.restarted);
}

TEST_CASE("capture_rule: it asks for the checksum of the known frame") {
    CHECK(decide_capture(known(5, 3), header(100, 9, 4), std::nullopt).action ==
          Action::need_checksum);
}

TEST_CASE("capture_rule: another frame in the known one's place is a gap") {
    CHECK(decide_capture(known(5, 3), header(100, 9, 4), kOther).action == Action::gap);
}

TEST_CASE("capture_rule: a WAL shorter than the log is a gap") {
    CHECK(decide_capture(known(5, 3), header(100, 4, 9), kSame).action == Action::gap);
}

TEST_CASE("capture_rule: another page size is a gap") {
    WalIndexHeader now = header(100, 9, 4);
    now.page_bytes = 8192;
    CHECK(decide_capture(known(5, 3), now, kSame).action == Action::gap);
}

TEST_CASE("capture_rule: a restarted WAL is taken whole while we watch") {
    const CaptureDecision d = decide_capture(known(5, 3), header(101, 2, 4), std::nullopt);
    CHECK(d.action == Action::take);
    CHECK(d.first_frame == 1);
    CHECK(why_count_is_wrong(known(5, 3), header(101, 2, 4), d, 1).empty());
    CHECK_FALSE(why_count_is_wrong(known(5, 3), header(101, 2, 5), d, 1).empty());
}

// Counting from a recovery could reach the same small number, and commits would be lost unseen.
TEST_CASE("capture_rule: a restart nobody watched needs a marked iChange") {
    CHECK(decide_capture(known(5, 3, false), header(101, 2, 4), std::nullopt).action ==
          Action::gap);
    CHECK(decide_capture(known(5, kMarked, false), header(101, 2, 4), std::nullopt).action ==
          Action::gap);
    CHECK(decide_capture(known(5, kMarked, false), header(101, 2, kMarked + 1), std::nullopt)
              .action == Action::take);
}

ControlNotes notes(const WalPoint& captured) {
    ControlNotes said;
    said.captured = captured;
    return said;
}
constexpr WalPoint kMarkedLater{100, 7, 5, kMarked, 0, 0};
constexpr WalPoint kRestarted{101, 7, 0, kMarked, 0, 0};

TEST_CASE("capture_rule: what was announced after the last record is where to go on") {
    const CapturePoint logged = known(5, 3, false);
    const WalIndexHeader now = header(102, 2, kMarked + 1);
    CHECK(resume_point(logged, notes(kMarkedLater), now).wal.change == kMarked);
    CHECK(resume_point(logged, notes(kRestarted), now).wal == kRestarted);
}

TEST_CASE("capture_rule: after a recovery the salts show what the present WAL follows") {
    const CapturePoint logged = known(5, 3, false);
    CHECK(resume_point(logged, notes(kRestarted), header(101, 2, 4)).wal == kRestarted);
    ControlNotes begun = notes(kMarkedLater);
    begun.begun = {103, 7};
    begun.begun_after = kMarkedLater;
    const CapturePoint resumed = resume_point(logged, begun, header(103, 2, 4));
    CHECK(resumed.wal == WalPoint{103, 7, 0, kMarked, 0, 0});
    begun.begun_after.frame = 6;  // a commit that nobody captured
    CHECK(resume_point(logged, begun, header(103, 2, 4)).wal == logged.wal);
}

TEST_CASE(
    "capture_rule: the beginning of a WAL is one place, whatever a recovery made of iChange") {
    ControlNotes begun = notes(kRestarted);
    begun.begun = {103, 7};
    begun.begun_after = kRestarted;
    begun.begun_after.change = 0;
    const CapturePoint resumed = resume_point(known(5, 3, false), begun, header(103, 2, 2));
    CHECK(resumed.wal == WalPoint{103, 7, 0, kMarked, 0, 0});
    begun.begun_after.frame = 1;
    CHECK_FALSE(begun_point(resumed, begun, header(104, 2, 2)));
}

// The engine saw the restart and died; the writer that restarted had taken WRITE before it.
TEST_CASE("capture_rule: a WAL begun after the place that was restarted follows the log") {
    ControlNotes begun = notes(kRestarted);
    begun.begun = {103, 7};
    begun.begun_after = known(5, 3, false).wal;
    begun.begun_after.change = kRestarted.change;
    const CapturePoint resumed = resume_point(known(5, 3, false), begun, header(103, 2, 2));
    CHECK(resumed.wal == WalPoint{103, 7, 0, kMarked, 0, 0});
    begun.begun_after.change += 1;  // a commit that nobody captured
    CHECK(resume_point(known(5, 3, false), begun, header(103, 2, 2)).wal != resumed.wal);
}

TEST_CASE("capture_rule: after a recovery another WAL than the one announced is not believed") {
    const CapturePoint logged = known(5, 3, false);
    CHECK(resume_point(logged, notes(kRestarted), header(102, 2, 4)).wal == logged.wal);
    CHECK(resume_point(logged, notes(kMarkedLater), header(102, 2, 4)).wal == logged.wal);
    const WalPoint empty{0, 0, 0, 0, 0, 0};
    ControlNotes begun = notes(empty);
    begun.begun = {103, 7};
    begun.begun_after = empty;
    CHECK(resume_point(logged, begun, header(103, 2, 4)).wal == logged.wal);
}

TEST_CASE("capture_rule: a recovery that kept the known frame loses nothing") {
    const WalIndexHeader now = header(100, 9, 1);
    const CaptureDecision d = decide_capture(known(5, 30, false), now, kSame);
    CHECK(d.action == Action::take);
    CHECK(d.first_frame == 6);
    CHECK(why_count_is_wrong(known(5, 30, false), now, d, 3).empty());
}

TEST_CASE("capture_rule: fewer commits than iChange counts are a gap") {
    const WalIndexHeader now = header(100, 9, 40);
    const CaptureDecision d = decide_capture(known(5, 30), now, kSame);
    CHECK(why_count_is_wrong(known(5, 30), now, d, 10).empty());
    CHECK_FALSE(why_count_is_wrong(known(5, 30), now, d, 9).empty());
}

TEST_CASE("capture_rule: a frame without checksum proves nothing after a recovery") {
    CapturePoint point = known(5, 30, false);
    point.wal.checksum_a = point.wal.checksum_b = 0;
    CHECK(decide_capture(point, header(100, 9, 1), WalChecksum{}).action == Action::gap);
    point.live = true;
    CHECK(decide_capture(point, header(100, 9, 31), WalChecksum{}).action == Action::take);
}

// A transaction that rewrites its own frames is logged before SQLite sums them up.
TEST_CASE("capture_rule: a frame that was summed up after it was logged proves nothing either") {
    CapturePoint held_back = known(5, kMarked, false);
    held_back.wal.checksum_a = held_back.wal.checksum_b = 0;
    const CaptureDecision d = decide_capture(held_back, header(100, 9, kMarked + 1), kSame);
    CHECK(d.action == Action::take);
    CHECK(d.first_frame == 6);
    CHECK_FALSE(d.proved);
    held_back.wal.change = 3;
    CHECK(decide_capture(held_back, header(100, 9, 4), kSame).action == Action::gap);
}

TEST_CASE("capture_rule: two WALs without salts need not be one") {
    CapturePoint point;
    point.page_bytes = 4096;
    WalIndexHeader now = header(0, 0, 0);
    now.salt = {};
    CHECK(decide_capture(point, now, std::nullopt).action == Action::gap);
    point.live = true;
    CHECK(decide_capture(point, now, std::nullopt).action == Action::take);
}

TEST_CASE("capture_rule: of each page the last image, none beyond the end, ascending") {
    const uint32_t pgnos[] = {3, 9, 1, 3, 2};
    std::vector<FrameOfPage> pages;
    select_pages(11, pgnos, 5, 8, pages);
    REQUIRE(pages.size() == 3);
    CHECK(pages[0].pgno == 1);
    CHECK(pages[0].frame == 13);
    CHECK(pages[1].pgno == 2);
    CHECK(pages[1].frame == 15);
    CHECK(pages[2].pgno == 3);
    CHECK(pages[2].frame == 14);
}

}  // namespace
}  // namespace tanist
