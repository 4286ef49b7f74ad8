#include "replicator/control/prepare_slot.h"

namespace tanist {
namespace {

bool turn(ControlPrepare& slot, uint32_t word, PreparePhase from, PreparePhase to) {
    uint32_t expected = with_phase(word, from);
    return slot.word.compare_exchange_strong(expected, with_phase(word, to));
}

}  // namespace

uint32_t post_commit(ControlPrepare& slot, const HeldFrames& frames) {
    const auto put = [](std::atomic<uint32_t>& field, uint32_t value) {
        field.store(value, std::memory_order_relaxed);
    };
    put(slot.salt1, frames.salt1);
    put(slot.salt2, frames.salt2);
    put(slot.first_frame, frames.first_frame);
    put(slot.last_frame, frames.last_frame);
    put(slot.pgno, frames.pgno);
    put(slot.db_pages, frames.db_pages);
    put(slot.page_bytes, frames.page_bytes);
    put(slot.change, frames.change);
    put(slot.checksum_a, frames.checksum_a);
    put(slot.checksum_b, frames.checksum_b);
    const uint32_t before = slot.word.load(std::memory_order_relaxed);
    const uint32_t word = with_phase(before + kPrepareAttempt, PreparePhase::posted);
    slot.word.store(word, std::memory_order_seq_cst);
    return word;
}

bool decide_commit(ControlPrepare& slot, uint32_t word, PreparePhase phase) {
    return turn(slot, word, PreparePhase::posted, phase);
}

void publish_commit(ControlPrepare& slot, uint32_t word) {
    turn(slot, word, PreparePhase::granted, PreparePhase::published);
}

void withdraw_commit(ControlPrepare& slot, uint32_t word) {
    turn(slot, word, PreparePhase::granted, PreparePhase::refused);
}

bool is_invisible(const ControlPrepare& slot, const WalMoment& now) {
    const auto get = [](const std::atomic<uint32_t>& field) {
        return field.load(std::memory_order_relaxed);
    };
    if (now.salt1 == get(slot.salt1) && now.salt2 == get(slot.salt2)) {
        return now.frame < get(slot.last_frame);
    }
    return get(slot.first_frame) == 1 && now.frame == 0 && now.change + 1 == get(slot.change);
}

Leftover leftover_of(const ControlPrepare& slot, uint32_t word,
                     const std::optional<WalMoment>& now) {
    const PreparePhase phase = phase_of(word);
    if (phase == PreparePhase::posted) return Leftover::refuse;
    if (phase != PreparePhase::granted || !now) return Leftover::nothing;
    return is_invisible(slot, *now) ? Leftover::take_header_back_and_refuse : Leftover::nothing;
}

void refuse_leftover(ControlPrepare& slot, uint32_t word) {
    uint32_t expected = word;
    slot.word.compare_exchange_strong(expected, with_phase(word, PreparePhase::refused));
}

}  // namespace tanist
