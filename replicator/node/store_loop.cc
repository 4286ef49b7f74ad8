#include "replicator/node/store_loop.h"

#include <utility>

#include "replicator/base/priority.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kRetainEvery = 500ms;
constexpr uint64_t kTellWritten = 1u << 20;  // of one large record
// A batch of more than this is a storm; the next one is not begun before this time has passed.
constexpr uint64_t kStormBytes = 256u << 10;
constexpr Nanos kStormNap = 8ms;
// The net thread answers heartbeats and must not be held up by a slow disk, nor by a storm.
constexpr uint64_t kHereBytesMax = 64u << 10;
constexpr Nanos kHereSyncMax = 3ms;

}  // namespace

void StoreLoop::stop() {
    if (!thread_.joinable()) return;
    shared_.to_store.close();
    thread_.join();
    const std::lock_guard lock(working_);  // of append_here() and sync_here()
}

void StoreLoop::run() {
    give_way(shared_.gives_way);
    while (true) {
        rest_in_storm();
        std::deque<StoreCommand> commands = shared_.to_store.wait(1s);
        const std::lock_guard lock(working_);
        for (StoreCommand& command : commands) std::visit([&](auto& c) { handle(c); }, command);
        shared_.to_net.put_all(to_net_);
        tell_durable();
        retain();
        handled_.fetch_add(commands.size(), std::memory_order_release);
        if (commands.empty() && shared_.to_store.closed()) return;
    }
}

void StoreLoop::hand_over(std::deque<StoreCommand>& commands) {
    handed_over_ += commands.size();
    shared_.to_store.put_all(commands);
}

bool StoreLoop::may_append_here(const std::deque<StoreCommand>& commands) const {
    if (shared_.to_store.closed() || failed_ || open_ || appended_ || sync_took_ > kHereSyncMax) {
        return false;
    }
    uint64_t bytes = 0;
    for (const StoreCommand& command : commands) {
        if (const auto* part = std::get_if<store_command::Part>(&command)) {
            bytes += part->bytes.size();
        } else if (!std::holds_alternative<store_command::Begin>(command) &&
                   !std::holds_alternative<store_command::Finish>(command)) {
            return false;
        }
    }
    return bytes <= kHereBytesMax && !commands.empty() &&
           std::holds_alternative<store_command::Finish>(commands.back());
}

bool StoreLoop::append_here(std::deque<StoreCommand>& commands) {
    if (handed_over_ != handled_.load(std::memory_order_acquire)) return false;
    const std::unique_lock lock(working_, std::try_to_lock);
    if (!lock.owns_lock() || !may_append_here(commands)) return false;
    for (StoreCommand& command : commands) std::visit([&](auto& c) { handle(c); }, command);
    commands.clear();
    shared_.to_net.put_all(to_net_);
    return true;
}

void StoreLoop::sync_here() {
    const std::lock_guard lock(working_);
    make_durable();
    shared_.to_net.put_all(to_net_);
}

// Small batches are synced at once: a lone commit, or commits that somebody waits for. In a storm
// the fixed cost of a sync is shared by what comes in some milliseconds.
void StoreLoop::rest_in_storm() {
    Nanos left{0};
    {
        const std::lock_guard lock(working_);
        if (batch_bytes_ >= kStormBytes) left = kStormNap - (boot_now() - synced_);
    }
    if (left <= Nanos(0) || shared_.to_store.closed()) return;
    const std::atomic<uint32_t> nobody_wakes{0};
    futex_wait(&nobody_wakes, 0, left);
}

void StoreLoop::fail(const Error& error) {
    failed_ = true;
    problem_told_ = true;
    shared_.log->abandon();  // harmless when nothing was begun
    shared_.control.set_problem("the replication log cannot be written: " + error.message);
    to_net_.push_back(receiver_event::AppendFailed{error.message, error.code == Errc::no_space});
}

void StoreLoop::handle(store_command::Begin& command) {
    if (failed_) return;
    // What came before a long record does not wait for its end to be durable.
    if (command.header.payload_bytes > kTellWritten) tell_durable();
    taken_bytes_ = 0;
    open_ = true;
    if (auto begun = shared_.log->begin(command.header.payload_bytes); !begun) fail(begun.error());
}

void StoreLoop::handle(store_command::Part& command) {
    if (failed_) return;
    if (auto written = shared_.log->write(command.bytes); !written) {
        fail(written.error());
        return;
    }
    taken_bytes_ += command.bytes.size();
    if (taken_bytes_ < kTellWritten) return;
    to_net_.push_back(receiver_event::Written{taken_bytes_});
    shared_.to_net.put_all(to_net_);
    taken_bytes_ = 0;
}

void StoreLoop::handle(store_command::Finish& command) {
    if (failed_) return;
    open_ = false;
    if (auto finished = shared_.log->finish_received(command.header); !finished) {
        fail(finished.error());
        return;
    }
    appended_ = true;
    taken_bytes_ = 0;
    unsynced_bytes_ += command.header.record_bytes();
    if (std::exchange(problem_told_, false)) shared_.control.set_problem("");
    to_net_.push_back(receiver_event::Appended{command.header.lsn, command.header.record_bytes(),
                                               command.header.chain});
}

void StoreLoop::handle(store_command::Abandon&) {
    if (!failed_) shared_.log->abandon();
    failed_ = false;
    open_ = false;
    taken_bytes_ = 0;
    LogPoint end = shared_.log->base();
    if (auto last = shared_.log->last()) end = {last->position(), last->chain};
    to_net_.push_back(receiver_event::AppendAbandoned{end});
}

void StoreLoop::handle(store_command::Reset& command) {
    appended_ = false;
    failed_ = false;
    open_ = false;
    if (auto reset = shared_.log->reset(command.base); !reset) {
        fail(reset.error());
        return;
    }
    shared_.durable_lsn.store(command.base.position.lsn.value);
    shared_.control->durable_lsn.store(command.base.position.lsn.value, std::memory_order_relaxed);
    to_net_.push_back(receiver_event::LogReset{command.base});
}

void StoreLoop::handle(store_command::Create& command) {
    if (auto opened = shared_.open_log(command.group); !opened)
        shared_.control.set_problem(opened.error().message);
    else
        to_net_.push_back(receiver_event::Adopted{});
}

// In this order: what is applied was durable before.
void StoreLoop::tell_durable() {
    const bool synced = make_durable();
    shared_.to_net.put_all(to_net_);
    if (synced) applies_now();
}

void StoreLoop::applies_now() { shared_.to_apply.put(apply_command::Apply{}); }

// True: more is durable than was.
bool StoreLoop::make_durable() {
    if (!appended_ || open_) return false;
    const Instant begun = boot_now();
    Status published = shared_.log->publish();
    if (!published) {
        fail(published.error());
        return false;
    }
    auto synced = shared_.log->sync();
    if (!synced) {
        fail(synced.error());
        return false;
    }
    appended_ = false;
    synced_ = boot_now();
    sync_took_ = synced_ - begun;
    batch_bytes_ = std::exchange(unsynced_bytes_, 0);
    uint64_t lsn = synced->position.lsn.value;
    shared_.durable_lsn.store(lsn);
    shared_.control->durable_lsn.store(lsn, std::memory_order_relaxed);
    to_net_.push_back(receiver_event::Durable{synced->position.lsn});
    return true;
}

void StoreLoop::retain() {
    Instant now = boot_now();
    if (!shared_.log || now - retained_ < kRetainEvery) return;
    retained_ = now;
    Lsn needed{shared_.keep_from_lsn.load()};
    // What the primary has not archived when it is lost is archived from here.
    const bool archives = !shared_.settings.archive.command.empty();
    if (archives && needed.value != 0) needed = Lsn(1);
    // Until a record of the primary's own epoch is here, older ones may be some that it does not
    // have; they are to be saved (tail_check.h). Nothing grows before that.
    const bool settled = shared_.log->end().position.epoch.value >= shared_.control->epoch.load();
    if (needed.value != 0 && settled)
        if (auto kept = shared_.log->retain(needed, shared_.settings.log_segment_bytes * 4); !kept)
            shared_.control.set_problem("log retention failed: " + kept.error().message);
    LogStat stat = shared_.log->stat();
    shared_.control->log_bytes.store(stat.bytes, std::memory_order_relaxed);
    shared_.control->log_first_lsn.store(stat.first.value, std::memory_order_relaxed);
}

}  // namespace tanist
