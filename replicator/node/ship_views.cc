// What the ship thread tells others through the control block: how each replica stands, what only
// this node has, and whether commits are confirmed.
#include <algorithm>

#include "replicator/base/notes.h"
#include "replicator/node/ship_loop.h"

namespace tanist {

void ShipLoop::publish_views() {
    Lsn end = log_.end().position.lsn;
    Lsn needed = end;
    bool shipped = true;
    bool served = true;
    for (size_t i = 0; i < peers_.size(); ++i) {
        FollowerView view = peers_[i]->follower->view();
        const bool behind = view.state != PeerState::streaming || view.applied < end;
        if (behind) shipped = false;
        if (behind && view.state != PeerState::syncing) served = false;
        needed = std::min(needed, view.needs);
        control_.set_peer(i, {.state = view.state,
                              .received = view.received,
                              .durable = view.durable,
                              .applied = view.applied,
                              .lag_bytes = view.lag_bytes,
                              .lag_ns = static_cast<uint64_t>(view.lag.count()),
                              .heard_ns = view.heard.ns,
                              .endpoint = peers_[i]->member.endpoint,
                              .reason = view.reason});
    }
    publish_risk();
    rearm_when_caught_up();
    capture_.set_needed(needed);
    shipped_to_.store(shipped ? end.value : 0);
    served_to_.store(served ? end.value : 0);
}

// The safest replica decides what would be lost with this node.
void ShipLoop::publish_risk() {
    const FollowerView* safest = nullptr;
    std::vector<FollowerView> views;
    views.reserve(peers_.size());
    for (const auto& peer : peers_) views.push_back(peer->follower->view());
    for (const FollowerView& view : views) {
        if (safest == nullptr || view.durable > safest->durable) safest = &view;
    }
    const Nanos unsafe = safest != nullptr ? safest->unsafe : Nanos(0);
    control_->unsafe_bytes.store(safest != nullptr ? safest->unsafe_bytes : 0,
                                 std::memory_order_relaxed);
    control_->unsafe_since_ns.store(unsafe.count() > 0 ? boot_now().ns - unsafe.count() : 0,
                                    std::memory_order_relaxed);
}

// A committer gave the waiting up; only replicas that hold the end of the log bring it back.
void ShipLoop::rearm_when_caught_up() {
    const uint32_t word = control_->degraded.load(std::memory_order_acquire);
    if (word != degraded_told_ && word != 0) {
        note(NoteLevel::warning, "degraded: commits are no longer confirmed by replicas",
             {{"database", options_.layout.db}, {"rule", to_string(unpack_ack_rule(word))}});
    }
    degraded_told_ = word;
    if (word == 0) return rearm_.idle();
    const AckPoints acks = control_.acks();
    const auto members = static_cast<uint32_t>(peers_.size());
    const Lsn reached = confirmed(unpack_ack_rule(word), acks.all(), members);
    if (!rearm_.step(reached, log_.end().position.lsn, boot_now())) return;
    uint32_t expected = word;
    if (!control_->degraded.compare_exchange_strong(expected, 0)) return;
    degraded_told_ = 0;
    note(NoteLevel::info, "enough replicas have caught up: commits are confirmed again",
         {{"database", options_.layout.db},
          {"unconfirmed", std::to_string(control_->degraded_commits.load())}});
}

}  // namespace tanist
