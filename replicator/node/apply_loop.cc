#include "replicator/node/apply_loop.h"

#include <algorithm>
#include <utility>

#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/base/priority.h"
#include "replicator/sync/record_check.h"
#include "replicator/sync/staging.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kIdle = 1s;     // then tend the WAL
constexpr Nanos kRetry = 50ms;  // after a busy or full disk

}  // namespace

Status ApplyLoop::open(std::string* sync_reason) {
    if (shared_.staged_form.sealed()) {
        // Of a sync that was broken off before encryption was switched on.
        Staging left(shared_.layout.base(), shared_.layout.db, shared_.staged_form);
        TANIST_TRY(left.keep_own_form());
    }
    auto intent = IntentFile::open(shared_.layout.intent());
    if (!intent) return std::move(intent).error();
    intent_ = std::move(intent).value();
    const std::optional<Intent> last = intent_.read();
    if (!last) return ok_status();  // no database yet
    // The first sync was broken off just before its copy became the database.
    if (last->syncing && !path_exists(shared_.layout.db)) return ok_status();
    if (!shared_.log)
        return Error{Errc::corrupt, shared_.layout.intent() +
                                        " belongs to a replica, but the node "
                                        "file knows no group; remove " +
                                        shared_.layout.directory +
                                        " and the database to start anew"};
    reader_ = shared_.log->reader();
    TANIST_TRY(open_applier());
    *sync_reason = why_log_does_not_fit(applier_->applied());
    log_was_short_ =
        shared_.log_was_cut || applier_->applied().position.lsn > shared_.log->end().position.lsn;
    return ok_status();
}

// A sync that was broken off has begun a new log; the database belongs to the old one.
std::string ApplyLoop::why_log_does_not_fit(const LogPoint& at) {
    LogStat stat = shared_.log->stat();
    if (at == stat.base || at == stat.end) return "";
    if (at.position.lsn <= stat.base.position.lsn) return "the log begins after the database";
    if (at.position.lsn >= stat.end.position.lsn) return "the database is ahead of the log";
    auto header = reader_->header_of(at.position.lsn);
    if (!header) return "the log cannot be read at the database's position";
    return header->chain == at.chain ? "" : "the log is of another history than the database";
}

Status ApplyLoop::open_applier() {
    auto applier = Applier::open(shared_.api, shared_.layout.db, intent_, *reader_);
    if (!applier) return std::move(applier).error();
    applier_ = std::move(applier).value();
    has_database_.store(true);
    if (const std::optional<RecordHeader> last = applier_->waits_for()) {
        // What cannot be found out waits for the primary.
        Result<bool> there = may_be_at(applier_->handle(), *reader_, *last);
        if (there.ok() && !*there) TANIST_TRY(applier_->replay_without_last(*reader_));
    }
    applied_to(applier_->applied());
    return ok_status();
}

LogPoint ApplyLoop::applied() const { return applier_ ? applier_->applied() : LogPoint{}; }

void ApplyLoop::stop() {
    if (!thread_.joinable()) return;
    shared_.to_apply.close();
    thread_.join();
}

void ApplyLoop::run() {
    give_way(shared_.gives_way);
    while (true) {
        std::deque<ApplyCommand> commands = shared_.to_apply.wait(retry_ ? kRetry : kIdle);
        if (commands.empty() && shared_.to_apply.closed()) break;
        for (ApplyCommand& command : commands) std::visit([&](auto& c) { handle(c); }, command);
        if (syncing_)
            try_install();
        else
            apply_what_is_due();
        if (applier_ && !syncing_) tend();
    }
    if (!syncing_) apply_what_is_due();
    if (applier_)
        if (auto settled = applier_->settle(); !settled)
            note(NoteLevel::warning, "the replica's stop is not durable",
                 {{"reason", settled.error().message}});
}

void ApplyLoop::tend() {
    if (auto tended = applier_->tend(); !tended) {
        if (tended.error().code == Errc::busy) return;
        shared_.control.set_problem(tended.error().message);
        untended_ = true;
        return;
    }
    if (std::exchange(untended_, false)) shared_.control.set_problem("");
    shared_.keep_from_lsn.store(applier_->durable().position.lsn.value);
}

void ApplyLoop::handle(apply_command::Apply&) {}

void ApplyLoop::applied_to(const LogPoint& point) {
    shared_.control->applied_lsn.store(point.position.lsn.value, std::memory_order_relaxed);
    shared_.keep_from_lsn.store(applier_ ? applier_->durable().position.lsn.value : 0);
    futex_wake_all(&shared_.control->captured_tick);
}

void ApplyLoop::apply_what_is_due() {
    if (!applier_ || stuck_) return;
    Lsn target = appliable(Lsn{shared_.durable_lsn.load()}, Lsn{shared_.committed_lsn.load()});
    if (target <= applier_->applied().position.lsn) {
        retry_ = false;
        return;
    }
    auto outcome = applier_->apply(*reader_, target);
    if (!outcome) {
        if (!retry_)
            note(NoteLevel::error, "apply is held up", {{"reason", outcome.error().message}});
        shared_.control.set_problem(outcome.error().message);
        retry_ = true;
        return;
    }
    if (retry_) shared_.control.set_problem("");
    retry_ = false;
    applied_to(outcome->applied);
    shared_.to_net.put(receiver_event::Applied{outcome->applied.position.lsn});
    if (outcome->needs_sync) {
        stuck_ = true;
        shared_.to_net.put(receiver_event::NeedsSync{outcome->sync_reason});
    }
}

void ApplyLoop::handle(apply_command::SyncBegan& command) {
    syncing_ = true;
    asks_in_flight_ = 0;
    end_.reset();
    reader_ = shared_.log->reader();
    auto sink =
        SyncSink::open(shared_.api, shared_.layout.db, shared_.layout.base(), shared_.staged_form);
    if (!sink) return sync_failed(sink.error());
    sink_ = std::move(sink).value();
    Status begun = sink_->begin(command.begin, applier_ ? &applier_->handle() : nullptr);
    if (!begun) return sync_failed(begun.error());
    progress_.begin("delta sync of " + shared_.layout.db);
    ask_more();
}

void ApplyLoop::ask_more() {
    while (asks_in_flight_ < limits::kSyncAsksInFlight) {
        auto ask = sink_->next_ask();
        if (!ask) return sync_failed(ask.error());
        if (!*ask) break;
        ++asks_in_flight_;
        shared_.to_net.put(receiver_event::SyncWantsRange{std::move(**ask)});
    }
    if (asks_in_flight_ == 0 && sink_->complete())
        shared_.to_net.put(receiver_event::SyncAskedAll{});
    SyncProgress now = sink_->progress();
    shared_.control->sync_done_bytes.store(now.bytes_done, std::memory_order_relaxed);
    shared_.control->sync_total_bytes.store(now.bytes_total, std::memory_order_relaxed);
    progress_.update(now.bytes_done, now.bytes_total, now.bytes_received);
}

void ApplyLoop::handle(apply_command::SyncGot& command) {
    if (!syncing_ || !sink_) return;
    if (auto got = sink_->got(command.pages); !got) return sync_failed(got.error());
    if (!command.pages.last) return;
    --asks_in_flight_;
    ask_more();
}

void ApplyLoop::handle(apply_command::SyncComplete& command) { end_ = command.end; }

void ApplyLoop::handle(apply_command::SyncAborted&) {
    if (!syncing_) return;
    syncing_ = false;
    stuck_ = true;
    sink_.reset();
    end_.reset();
    shared_.control->sync_total_bytes.store(0);
    progress_.end("broken off; what has come is kept");
}

void ApplyLoop::sync_failed(const Error& error) {
    sink_.reset();
    syncing_ = false;
    stuck_ = true;
    shared_.control.set_problem("delta sync failed: " + error.message);
    shared_.control->sync_total_bytes.store(0);
    progress_.end("failed: " + error.message);
    shared_.to_net.put(receiver_event::SyncFailed{error.message});
}

// The log must be durable up to the end of the copy before the database may be there.
void ApplyLoop::try_install() {
    if (!end_ || !sink_) return;
    Lsn durable{shared_.durable_lsn.load()};
    if (durable < end_->end.lsn) return;
    auto installed = sink_->install(*reader_, end_->end.lsn, intent_, applier_.get());
    if (!installed) {
        if (installed.error().code == Errc::busy || installed.error().code == Errc::no_space) {
            shared_.control.set_problem(installed.error().message);
            retry_ = true;
            return;
        }
        return sync_failed(installed.error());
    }
    if (sink_->replaced_database()) applier_.reset();
    sink_.reset();
    if (!applier_)
        if (auto opened = open_applier(); !opened) return sync_failed(opened.error());
    syncing_ = false;
    stuck_ = false;
    retry_ = false;
    end_.reset();
    shared_.control.set_problem("");
    shared_.control->sync_total_bytes.store(0);
    applied_to(*installed);
    progress_.end("done at " + to_string(installed->position));
    shared_.to_net.put(receiver_event::SyncInstalled{*installed});
}

}  // namespace tanist
