// The hot way of the ship thread: commits that somebody waits for, from the WAL through the log
// onto the wire.
#include "replicator/node/ship_loop.h"
#include "replicator/ship/record_sender.h"

namespace tanist {

namespace {

using namespace std::chrono_literals;

constexpr Nanos kNewsWait = 1ms;
// A program that waits for what replicas show, or have only received, does so again within this
// time, or its commits are rare.
constexpr Nanos kWantedFor = 1s;

bool is_wanted(const std::atomic<int64_t>& since) {
    const Instant wanted{since.load(std::memory_order_relaxed)};
    return wanted.ns != 0 && boot_now() - wanted < kWantedFor;
}

}  // namespace

// Capture and ship in one go, without waking another thread on the way. That a commit which was
// held back is settled now is news to the replicas' readers alone, as a rule, and the next commit
// takes it along.
void ShipLoop::ship_what_is_waited_for() {
    const uint32_t commits = control_->gather.commits.load();
    capture_.look_here();
    const Instant now = boot_now();
    gathering_.shipped(commits, log_.end().position.lsn);
    control_->gather.shipped_ns.store(now.ns, std::memory_order_relaxed);
    control_.set_gather(gathering_.complete_at());
    news_waits_until_ = is_wanted(control_->applied_wanted_ns) ? Instant{0} : now + kNewsWait;
    for (auto& peer : peers_) step(*peer, follower_event::Tick{});
    capture_.sync_from_here();
}

// Without a chime nobody gathers: each commit rings the bell.
void ShipLoop::ship_what_was_gathered() {
    if (!chime_.is_open()) return;
    control_.set_gather(gathering_.complete_at());
    if (control_.batch_is_complete()) ship_what_is_waited_for();
}

bool ShipLoop::receipts_are_wanted() const { return is_wanted(control_->receipt_wanted_ns); }

void ShipLoop::act(Peer& peer, follower_action::SendRecords& action) {
    if (receipts_are_wanted()) action.envelope.flags |= kDataReceiptWanted;
    auto sent = send_records(*peer.reader, action, [&](ByteView envelope, Bytes body) {
        return link_->send(peer.main, envelope, std::move(body));
    });
    if (sent) {
        pending_.emplace_back(&peer, *sent);
    } else {
        pending_.emplace_back(&peer, follower_event::LinkFailed{sent.error().message});
    }
}

}  // namespace tanist
