#include "replicator/node/archive_loop.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "replicator/node/run_command.h"
#include "replicator/node/ship_lock.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr size_t kArchivedBytesMax = 4096;
constexpr size_t kFailureBytesMax = 160;  // of what a command says, in the status

std::string printable(std::string text) {
    text.resize(std::min(text.size(), kFailureBytesMax));
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
    return text;
}

}  // namespace

ArchiveLoop::ArchiveLoop(ArchiveLoopOptions options, Log& log, Control& control)
    : options_(std::move(options)), log_(log), control_(control), archive_(find_kept()) {
    needs_.store(archive_.needs().value);
    publish(options_.runs_commands
                ? ""
                : "an engine inside an application runs no command; tanistd does");
}

// Damaged or absent: everything that the log has is archived, once more perhaps.
std::optional<LogPoint> ArchiveLoop::find_kept() {
    auto bytes = read_file(options_.layout.archived(), kArchivedBytesMax);
    const std::optional<LogPoint> kept =
        bytes ? decode_archived(*bytes) : std::optional<LogPoint>();
    ArchivePlace place{log_.base(), log_.end(), std::nullopt};
    if (kept) {
        if (auto header = log_.reader()->header_of(kept->position.lsn)) {
            place.same_lsn = LogPoint{header->position(), header->chain};
        } else if (kept->position.lsn == place.base.position.lsn) {
            place.same_lsn = place.base;
        }
    }
    return begin_archive_at(kept, place);
}

void ArchiveLoop::start() {
    if (options_.runs_commands) thread_ = std::thread([this] { run(); });
}

void ArchiveLoop::stop() {
    if (stopping_.exchange(true)) return;
    stop_.signal();
    wake_.signal();
    if (thread_.joinable()) thread_.join();
    control_.set_archive("");
}

void ArchiveLoop::run() {
    while (!stopping_.load()) {
        step(archive_event::Tick{});
        const Nanos longest = wake_.fd() < 0 ? Nanos(1s) : Nanos(1h);
        wait_readable(wake_.fd(), std::clamp(archive_.deadline() - boot_now(), Nanos(0), longest));
        wake_.drain();
    }
    log_.give_back();
}

void ArchiveLoop::step(const ArchiveEvent& event) {
    events_.push_back(event);
    while (!events_.empty() && !stopping_.load()) {
        const ArchiveEvent next = std::move(events_.front());
        events_.pop_front();
        const auto actions = archive_.step(next, boot_now());
        needs_.store(archive_.needs().value, std::memory_order_relaxed);
        at_rest_.store(archive_.at_rest());
        publish(archive_.view().failing);
        for (const ArchiveAction& action : actions) {
            std::visit([&](const auto& a) { perform(a); }, action);
        }
    }
}

void ArchiveLoop::perform(const archive_action::Look& action) {
    const Lsn durable(control_->durable_lsn.load(std::memory_order_acquire));
    events_.push_back(archive_event::Looked{log_.lend(action.after, durable)});
}

void ArchiveLoop::perform(const archive_action::Run& action) {
    std::string failure = hand_over(action.segment);
    log_.give_back();
    events_.push_back(archive_event::Ended{std::move(failure)});
}

void ArchiveLoop::perform(const archive_action::Keep& action) {
    Status kept = replace_file(options_.layout.archived(), encode_archived(action.position));
    events_.push_back(
        archive_event::Kept{kept ? "" : "its position is not kept: " + kept.error().message});
}

void ArchiveLoop::perform(const archive_action::Say& action) {
    note(action.level, action.event, {{"database", options_.layout.db}, {"reason", action.reason}});
}

// "", or why it did not take it.
std::string ArchiveLoop::hand_over(const ClosedSegment& segment) {
    const ArchiveFacts facts{.database = options_.layout.db,
                             .path = options_.layout.log() + "/" + segment.name,
                             .name = segment.name,
                             .epoch = options_.epoch,
                             .first = segment.previous.position.lsn.next(),
                             .last = segment.last.position.lsn};
    auto text = archive_command_text(options_.settings.command, facts);
    if (!text) return text.error().message;
    std::string last_line;
    const CommandEnd end =
        run_command({*std::move(text), environment_of(facts), options_.settings.timeout},
                    {.said = [&](const std::string& line) { last_line = line; },
                     .ended_by_us = [] {},
                     .stop_fd = stop_.fd()});
    if (!end.not_run.empty()) return "archive_command cannot be run: " + end.not_run;
    if (end.code == 0 && end.in_time) return "";
    std::string why = end.in_time
                          ? "archive_command ended with " + std::to_string(end.code)
                          : "archive_command took longer than archive_timeout and was ended";
    if (!last_line.empty()) why += ": " + printable(std::move(last_line));
    return facts.name + ": " + why;
}

void ArchiveLoop::publish(const std::string& failing) {
    const ArchiveView& view = archive_.view();
    const auto& kept = archive_.kept();
    const nlohmann::ordered_json json = {{"through", kept ? kept->position.lsn.value : 0},
                                         {"segments", view.segments},
                                         {"failures", view.failures},
                                         {"lost", view.lost},
                                         {"failing", failing}};
    control_.set_archive(
        json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace tanist
