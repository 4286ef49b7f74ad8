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
    *sync_reason = last->syncing ? "an earlier sync was interrupted"
                                 : why_log_does_not_fit(applier_->applied());
    log_was_short_ =
        shared_.log_was_cut || applier_->applied().position.lsn > shared_.log->end().position.lsn;
    return ok_status();
}

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

LogPoint ApplyLoop::applied() const {
    return applier_ && !shared_.installing.load() ? applier_->applied() : LogPoint{};
}

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
    end_sync();
    apply_what_is_due();
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
    const Lsn durable{shared_.durable_lsn.load()};
    const Lsn committed{shared_.committed_lsn.load()};
    const Lsn target = shared_.promoted.load() ? durable : appliable(durable, committed);
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

// From here on the database stays as it is, because the sync relies on pages that it finds in
// place.
void ApplyLoop::handle(apply_command::SyncBegan& command) {
    if (!syncing_) apply_what_is_due();
    syncing_ = true;
    asks_in_flight_ = 0;
    end_.reset();
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

void ApplyLoop::handle(apply_command::SyncComplete& command) {
    if (!sink_) return;
    end_ = command.end;
    sync_reader_ = shared_.sync_log->reader();
}

void ApplyLoop::handle(apply_command::SyncAborted&) {
    if (!syncing_) return;
    syncing_ = false;
    sink_.reset();
    shared_.control->sync_total_bytes.store(0);
    progress_.end("broken off; what has come is kept");
}

void ApplyLoop::sync_failed(const Error& error) {
    sink_.reset();
    sync_reader_.reset();
    syncing_ = false;
    end_.reset();
    shared_.control.set_problem("delta sync failed: " + error.message);
    shared_.control->sync_total_bytes.store(0);
    progress_.end("failed: " + error.message);
    if (shared_.installing.load()) {
        stuck_ = true;
        shared_.to_net.put(receiver_event::NeedsSync{error.message});
    }
    shared_.to_net.put(receiver_event::SyncFailed{error.message});
}

// The sync's log must be durable up to the end of the copy before the database may be there.
void ApplyLoop::try_install() {
    if (!end_ || !sink_) return;
    Lsn durable{shared_.sync_durable_lsn.load()};
    if (durable < end_->end.lsn) return;
    shared_.installing.store(true);
    auto installed = sink_->install(*sync_reader_, end_->end.lsn, intent_, applier_.get());
    if (!installed) return install_failed(installed.error());
    if (sink_->replaced_database()) applier_.reset();
    sink_.reset();
    sync_reader_.reset();
    reader_.reset();
    end_.reset();
    retry_ = false;
    installed_ = *installed;
    shared_.to_net.put(receiver_event::SyncInstalled{*installed});
}

void ApplyLoop::install_failed(const Error& error) {
    const std::optional<Intent> intent = intent_.read();
    shared_.installing.store(intent && intent->syncing);
    if (error.code != Errc::busy && error.code != Errc::no_space) return sync_failed(error);
    shared_.control.set_problem(error.message);
    retry_ = true;
}

void ApplyLoop::handle(apply_command::SyncLogKept&) {
    if (!installed_) return;
    reader_ = shared_.log->reader();
    const LogPoint at = *std::exchange(installed_, std::nullopt);
    syncing_ = false;
    stuck_ = false;
    shared_.control->sync_total_bytes.store(0);
    if (!applier_) {
        if (auto opened = open_applier(); !opened) {
            stuck_ = true;
            shared_.control.set_problem(opened.error().message);
            shared_.to_net.put(receiver_event::NeedsSync{opened.error().message});
            return;
        }
    }
    shared_.installing.store(false);
    shared_.control.set_problem("");
    applied_to(at);
    progress_.end("done at " + to_string(at.position));
}

// Of a thread that ends. What is only staged is left, and the database goes on with its own log.
void ApplyLoop::end_sync() {
    if (installed_) {
        if (auto kept = shared_.keep_sync_log(); !kept) {
            note(NoteLevel::warning, "the next start finishes a sync",
                 {{"reason", kept.error().message}});
            stuck_ = true;
            return;
        }
        apply_command::SyncLogKept kept;
        handle(kept);
    }
    sink_.reset();
    sync_reader_.reset();
    syncing_ = false;
}

}  // namespace tanist
