// Fence and unfence, a primary's demotion, and the saving of a diverged tail.
#include "replicator/apply/intent.h"
#include "replicator/base/event.h"
#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/control/audit.h"
#include "replicator/node/diverged_tail.h"
#include "replicator/node/epoch_ask.h"
#include "replicator/node/log_options.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kWriterPatience = 10s;
constexpr Nanos kCapturePatience = 500ms;
constexpr uint64_t kRoomForRole = 256u << 10;  // node file, intent, audit, the mark on page 1
constexpr Nanos kLookEvery = 1ms;

Error replica_has_no_fence(const Layout& layout) {
    return {Errc::refused,
            layout.db + " is a replica, so writes are refused here already; fence its primary"};
}

}  // namespace

// -- fence

// What stock processes obey. Those with the extension obey the control block already.
Status Node::State::mark_fenced(Nanos patience) { return mark_read_only(api, layout.db, patience); }

Json Node::State::fence(const OperatorCommand& command) {
    if (file.role == Role::replica) return failure(replica_has_no_fence(layout));
    const bool already = file.role == Role::fenced;
    if (!already) {
        if (auto logged = audit(layout, {command.who, "fence", layout.db, "begun"}); !logged) {
            return failure(logged.error());
        }
    }
    // Processes with the extension first: they obey at once.
    set_role(Role::fenced);
    NodeFile next = file;
    next.role = Role::fenced;
    if (auto written = write_file(next); !written) return failure(written.error());
    Json result = success();
    result["already"] = already;
    if (auto marked = mark_fenced(kWriterPatience); !marked) {
        mark_pending = true;
        result["stock_processes"] = "not fenced yet: " + marked.error().message;
    }
    note(NoteLevel::warning, "fenced: writes are refused until `tanist unfence`",
         {{"database", layout.db}, {"by", command.who}});
    if (!already) tell_hook(HookEvent::fence, "", "operator", 0);
    return result;
}

Json Node::State::unfence(const OperatorCommand& command) {
    if (file.role == Role::replica) return failure(replica_has_no_fence(layout));
    Json result = success();
    result["already"] = file.role == Role::primary;
    if (file.role == Role::primary) return result;
    auto news = ask_for_higher_epoch(layout, options.settings, file);
    if (!news) return failure(news.error());
    if (*news) {
        superseded(**news);
        return failure({Errc::refused, (*news)->by + " knows a primary of epoch " +
                                           std::to_string((*news)->epoch.value) +
                                           "; this node becomes its replica"});
    }
    if (auto logged = audit(layout, {command.who, "unfence", layout.db, "begun"}); !logged) {
        return failure(logged.error());
    }
    auto hold = WriteHold::take(api, layout.db, kWriterPatience);
    if (!hold) return failure(hold.error());
    if (auto marked = hold->set_writable(true); !marked) return failure(marked.error());
    NodeFile next = file;
    next.role = Role::primary;
    if (auto written = write_file(next); !written) {
        mark_pending = true;  // it stays fenced, and stock processes must hear of that again
        return failure(written.error());
    }
    mark_pending = false;
    set_role(Role::primary);
    note(NoteLevel::info, "unfenced", {{"database", layout.db}, {"by", command.who}});
    return result;
}

// -- demotion

// A primary of a higher epoch exists. From here on nothing is written, and a crash goes on here.
Status Node::State::demote(const Superseded& news) {
    // In a new boot nobody writes yet, and the engine compares the database with its log first.
    const auto shown = static_cast<Role>(control->role.load());
    if (engine || shown == Role::primary) set_role(Role::fenced);
    note(NoteLevel::warning, "superseded: this node becomes a replica",
         {{"database", layout.db},
          {"epoch", std::to_string(file.epoch.value)},
          {"newer", std::to_string(news.epoch.value)},
          {"by", news.by}});
    NodeFile next = file;
    next.role = Role::fenced;
    next.superseded_by = news.epoch;
    TANIST_TRY(write_file(next));
    if (shown == Role::primary) tell_hook(HookEvent::fence, news.by, "superseded", 0);
    TANIST_TRY(become_replica());
    tell_hook(HookEvent::demote, news.by, "superseded", 0);
    return ok_status();
}

Result<std::unique_ptr<Log>> Node::State::open_log() {
    auto wanted = log_options(layout, options.settings);
    if (!wanted) return std::move(wanted).error();
    return Log::open(layout.log(), file.group, *wanted);
}

// Whether the log has everything that is visible and nothing else: a commit that its writer held
// back when it died is in the log alone, until an ABORT takes it back.
Result<bool> Node::State::log_is_even(WriteHold& hold) {
    const bool settled = engine->settle_under_write_lock().ok();
    auto visible = hold.visible_change();
    if (!visible) return std::move(visible).error();
    const CapturedPoint captured = control.captured();
    return settled && captured.change == *visible &&
           engine->log_end().position == captured.position;
}

// What is visible and not in the log could not be saved as a diverged tail, and its pages would be
// left beside the new primary's. What is in the log and not visible would be taken for applied.
Status Node::State::all_is_captured(WriteHold& hold) {
    const Instant give_up = boot_now() + kCapturePatience;
    for (;;) {
        auto even = log_is_even(hold);
        if (!even) return std::move(even).error();
        if (*even) return ok_status();
        if (boot_now() >= give_up) {
            const std::string problem = control.problem();
            return Error{Errc::busy, "what was committed last is not in its log yet" +
                                         (problem.empty() ? "" : ": " + problem)};
        }
        control.ring(true);
        const std::atomic<uint32_t> nobody_wakes{0};
        futex_wait(&nobody_wakes, 0, kLookEvery);
    }
}

// From here on there is no way back to the engine, so what follows must find room on the disk.
Status Node::State::has_room() const {
    auto left = free_bytes(layout.directory);
    if (!left) return std::move(left).error();
    if (*left >= kRoomForRole) return ok_status();
    return Error{Errc::no_space, "the disk of " + layout.directory + " is full"};
}

// Everything that became visible here is in the log when this returns, and the database is at the
// log's end; what of it the new primary lacks is found when it connects.
Status Node::State::become_replica(std::optional<WriteHold> hold) {
    if (!engine) {
        bool untouched = false;
        if (was_cut_short()) {
            auto before = WriteHold::take(api, layout.db, kWriterPatience);
            if (!before) return std::move(before).error();
            auto found = is_untouched(*before);
            if (!found) return std::move(found).error();
            untouched = *found;
        }
        TANIST_TRY(start_engine(untouched));
    }
    if (!hold) {
        auto taken = WriteHold::take(api, layout.db, kWriterPatience);
        if (!taken) return std::move(taken).error();
        hold = std::move(taken).value();
    }
    const std::string what = "epoch " + std::to_string(file.epoch.value) + " ";
    TANIST_TRY(audit(
        layout, {"tanistd", "demote", layout.db,
                 what + (file.superseded_by.value == 0
                             ? "was given up"
                             : "was superseded by " + std::to_string(file.superseded_by.value))}));
    // Under the lock: what the engine captures last is the last there is.
    TANIST_TRY(all_is_captured(*hold));
    TANIST_TRY(has_room());
    stop_role(Nanos(0));
    auto marked = hold->set_writable(false);
    if (!marked) return std::move(marked).error();
    TANIST_TRY(hold->sync());
    LogPoint end;
    {
        auto log = open_log();
        if (!log) return std::move(log).error();
        end = (*log)->end();
    }
    auto intent = IntentFile::open(layout.intent());
    if (!intent) return std::move(intent).error();
    TANIST_TRY(intent->write({.done = end, .target = end, .durable = end}, true));
    NodeFile next = file;
    next.role = Role::replica;
    next.epoch = std::max(next.epoch, next.superseded_by);
    next.superseded_by = {};
    TANIST_TRY(write_file(next));
    set_role(Role::replica);
    return start_replica();
}

// -- hooks

void Node::State::tell_hook(HookEvent event, const std::string& primary, const std::string& reason,
                            uint64_t lost_commits) {
    hooks.tell({.event = event,
                .database = layout.db,
                .epoch = file.epoch,
                .position = control.captured().position,
                .endpoint = own_endpoint(),
                .primary = primary,
                .reason = reason,
                .lost_commits = lost_commits});
}

// -- rejoin

// The log keeps the records until they are saved; the reset is what makes a crash not save twice.
Status Node::State::save_tail(const Divergence& found) {
    stop_role(Nanos(0));
    auto log = open_log();
    if (!log) return std::move(log).error();
    DivergedTail tail;
    tail.common = found.common;
    tail.proved = found.proved;
    tail.primary_epoch = found.primary_epoch;
    tail.primary = found.primary;
    auto saved = save_diverged_tail(layout, options.settings, **log, std::move(tail));
    if (!saved) return std::move(saved).error();
    note(NoteLevel::warning, "diverged commits were saved; see `tanist diverged list`",
         {{"name", saved->name},
          {"commits", std::to_string(saved->commits)},
          {"common", to_string(found.common.position)}});
    TANIST_TRY(audit(layout, {"tanistd", "save diverged commits", saved->name,
                              std::to_string(saved->commits) + " commits saved"}));
    return (*log)->reset(found.common);
}

}  // namespace tanist
