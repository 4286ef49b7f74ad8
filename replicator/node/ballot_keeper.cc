#include "replicator/node/ballot_keeper.h"

#include <algorithm>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"

namespace tanist {
namespace {

// The canary overwrites its bytes, which a full disk allows; with less than this nothing else fits.
constexpr uint64_t kSpaceLeast = 64u << 10;

}  // namespace

BallotKeeper::BallotKeeper(failover::BallotStore store, std::string canary, Nanos canary_every,
                           Tell tell)
    : store_(std::move(store)),
      canary_(std::move(canary)),
      canary_every_(canary_every),
      tell_(std::move(tell)),
      thread_([this] { run(); }) {}

void BallotKeeper::put(failover::Ballot ballot, std::optional<failover::Token> token) {
    orders_.put({std::move(ballot), std::move(token)});
}

void BallotKeeper::stop() {
    if (!thread_.joinable()) return;
    orders_.close();
    thread_.join();
}

void BallotKeeper::run() {
    Instant tried{0};
    while (true) {
        // Whether there is room costs nothing to ask, so it is asked more often.
        tell_disk(disk_is_full() || canary_fails_);
        const Nanos left = std::min(canary_every_ - (boot_now() - tried), canary_every_ / 3);
        std::deque<Order> orders = orders_.wait(std::max(left, Nanos(0)));
        if (orders.empty() && orders_.closed()) return;
        std::optional<failover::Token> token;
        for (Order& order : orders) {
            if (order.token) token = std::move(order.token);
        }
        if (!orders.empty()) {
            const failover::Ballot& newest = orders.back().ballot;
            if (auto written = store_.write(newest, token); !written) {
                return tell_.failed(written.error().message);
            }
            tell_.persisted(newest.serial);
        }
        if (boot_now() - tried < canary_every_) continue;
        tried = boot_now();
        try_canary();
    }
}

bool BallotKeeper::disk_is_full() const {
    auto left = free_bytes(canary_);
    return left && *left < kSpaceLeast;
}

void BallotKeeper::tell_disk(bool fails) {
    if (std::exchange(disk_fails_, fails) != fails) tell_.disk(fails);
}

// A disk that fails makes no progress, like one that hangs.
void BallotKeeper::try_canary() {
    if (!canary_file_.is_open()) {
        auto opened = File::open(canary_, File::Mode::create);
        canary_fails_ = !opened;
        if (!opened) return;
        canary_file_ = std::move(opened).value();
    }
    Bytes bytes;
    ByteWriter(bytes).u64(++canaries_);
    canary_fails_ = !canary_file_.write_at(0, bytes) || !canary_file_.sync_data();
    if (!canary_fails_ && !disk_is_full()) tell_.progress();
}

}  // namespace tanist
