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
        if (keep_is_due_) keep_sync_log();
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
    shared_.appended_to().abandon();  // harmless when nothing was begun
    shared_.control.set_problem("the replication log cannot be written: " + error.message);
    to_net_.push_back(receiver_event::AppendFailed{error.message, error.code == Errc::no_space});
}

void StoreLoop::handle(store_command::Begin& command) {
    if (failed_) return;
    // What came before a long record does not wait for its end to be durable.
    if (command.header.payload_bytes > kTellWritten) tell_durable();
    taken_bytes_ = 0;
    open_ = true;
    auto begun = shared_.appended_to().begin(command.header.payload_bytes);
    if (!begun) fail(begun.error());
}

void StoreLoop::handle(store_command::Part& command) {
    if (failed_) return;
    if (auto written = shared_.appended_to().write(command.bytes); !written) {
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
    if (auto finished = shared_.appended_to().finish_received(command.header); !finished) {
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
    Log& log = shared_.appended_to();
    if (!failed_) log.abandon();
    failed_ = false;
    open_ = false;
    taken_bytes_ = 0;
    LogPoint end = log.base();
    if (auto last = log.last()) end = {last->position(), last->chain};
    to_net_.push_back(receiver_event::AppendAbandoned{end});
}

// The log before stays, with everything that came to it made durable if that is possible: a sync
// is also what leads on from a log that cannot be written any more.
void StoreLoop::handle(store_command::BeginSyncLog& command) {
    if (appended_ && !failed_ && !open_) static_cast<void>(sync_appended());
    begin_other_log();
    if (auto begun = shared_.begin_sync_log(command.base); !begun) {
        fail(begun.error());
        return;
    }
    to_net_.push_back(receiver_event::SyncLogBegun{command.number});
}

void StoreLoop::handle(store_command::DropSyncLog&) {
    if (!shared_.sync_log) return;
    begin_other_log();
    // What stays of it is removed when the next one begins.
    if (auto dropped = shared_.drop_sync_log(); !dropped) {
        shared_.control.set_problem(dropped.error().message);
    }
}

void StoreLoop::begin_other_log() {
    appended_ = failed_ = open_ = keep_is_due_ = false;
    taken_bytes_ = unsynced_bytes_ = 0;
}

void StoreLoop::handle(store_command::KeepSyncLog&) { keep_sync_log(); }

void StoreLoop::keep_sync_log() {
    auto kept = shared_.keep_sync_log();
    keep_is_due_ = !kept;
    if (!kept) {
        shared_.control.set_problem("the log of a sync: " + kept.error().message);
        return;
    }
    shared_.to_apply.put(apply_command::SyncLogKept{});
    to_net_.push_back(receiver_event::SyncLogKept{});
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
    Status synced = sync_appended();
    if (!synced) fail(synced.error());
    return synced.ok();
}

Status StoreLoop::sync_appended() {
    const Instant begun = boot_now();
    Log& log = shared_.appended_to();
    TANIST_TRY(log.publish());
    auto synced = log.sync();
    if (!synced) return std::move(synced).error();
    appended_ = false;
    synced_ = boot_now();
    sync_took_ = synced_ - begun;
    batch_bytes_ = std::exchange(unsynced_bytes_, 0);
    const uint64_t lsn = synced->position.lsn.value;
    const bool of_sync = shared_.sync_log != nullptr;
    if (of_sync) {
        shared_.sync_durable_lsn.store(lsn);
    } else {
        shared_.durable_lsn.store(lsn);
        shared_.control->durable_lsn.store(lsn, std::memory_order_relaxed);
    }
    to_net_.push_back(receiver_event::Durable{synced->position.lsn, of_sync});
    return ok_status();
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
    if (shared_.sync_log) {
        // All of it is needed, but for the hard bound.
        if (auto kept = shared_.sync_log->retain(Lsn(0), 0); !kept)
            shared_.control.set_problem("log retention failed: " + kept.error().message);
        stat.bytes += shared_.sync_log->stat().bytes;
    }
    shared_.control->log_bytes.store(stat.bytes, std::memory_order_relaxed);
    shared_.control->log_first_lsn.store(stat.first.value, std::memory_order_relaxed);
}

}  // namespace tanist
