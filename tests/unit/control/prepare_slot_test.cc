#include "replicator/control/prepare_slot.h"

#include <doctest/doctest.h>

using namespace tanist;

namespace {

constexpr WalMoment kBefore{7, 0xa, 0xb, 20};

struct Slot {
    ControlPrepare slot{};
    uint32_t word = post_commit(slot, frames());

    static HeldFrames frames() {
        HeldFrames held;
        held.salt1 = kBefore.salt1;
        held.salt2 = kBefore.salt2;
        held.first_frame = kBefore.frame + 1;
        held.last_frame = kBefore.frame + 3;
        held.change = kBefore.change + 1;
        return held;
    }
    PreparePhase phase() const { return phase_of(slot.word.load()); }
    Leftover leftover(const WalMoment& now) const {
        return leftover_of(slot, slot.word.load(), now);
    }
};

}  // namespace

TEST_CASE("prepare_slot: a commit is decided once") {
    Slot s;
    CHECK(decide_commit(s.slot, s.word, PreparePhase::refused));
    CHECK_FALSE(decide_commit(s.slot, s.word, PreparePhase::granted));
    publish_commit(s.slot, s.word);
    CHECK(s.phase() == PreparePhase::refused);
}

TEST_CASE("prepare_slot: a word of an earlier attempt decides nothing") {
    Slot s;
    const uint32_t earlier = s.word;
    decide_commit(s.slot, s.word, PreparePhase::refused);
    s.word = post_commit(s.slot, Slot::frames());
    CHECK_FALSE(decide_commit(s.slot, earlier, PreparePhase::granted));
    CHECK(s.phase() == PreparePhase::posted);
}

TEST_CASE("prepare_slot: what nobody decided is refused, what is granted and unseen taken back") {
    Slot s;
    CHECK(s.leftover(kBefore) == Leftover::refuse);
    decide_commit(s.slot, s.word, PreparePhase::granted);
    CHECK(s.leftover(kBefore) == Leftover::take_header_back_and_refuse);
    CHECK(leftover_of(s.slot, s.slot.word.load(), std::nullopt) == Leftover::nothing);
}

TEST_CASE("prepare_slot: what readers see stays, also when a recovery counts iChange anew") {
    Slot s;
    decide_commit(s.slot, s.word, PreparePhase::granted);
    WalMoment seen = kBefore;
    seen.frame += 3;
    seen.change += 1;
    CHECK(s.leftover(seen) == Leftover::nothing);
    seen.change = kBefore.change;
    CHECK(s.leftover(seen) == Leftover::nothing);
}

TEST_CASE("prepare_slot: in another WAL it is nobody's, but the first one's salts come late") {
    Slot s;
    decide_commit(s.slot, s.word, PreparePhase::granted);
    WalMoment other{kBefore.change, 1, 2, 0};
    CHECK(s.leftover(other) == Leftover::nothing);
    s.slot.first_frame = 1;
    CHECK(s.leftover(other) == Leftover::take_header_back_and_refuse);
}
