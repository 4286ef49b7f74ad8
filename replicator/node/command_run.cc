#include "replicator/node/command_run.h"

#include <cassert>
#include <utility>

namespace tanist {

std::vector<CommandAction> CommandRun::step(const CommandEvent& event, Instant now) {
    std::vector<CommandAction> out;
    if (phase_ == Phase::finished) return out;
    if (const auto* output = std::get_if<command_event::Output>(&event)) take(output->bytes, out);
    if (const auto* ended = std::get_if<command_event::Ended>(&event)) {
        if (!partial_.empty()) say(std::exchange(partial_, {}), out);
        out.push_back({.kind = CommandAction::Kind::finished,
                       .code = ended->code,
                       .in_time = phase_ == Phase::running});
        phase_ = Phase::finished;
        return out;
    }
    const bool stop = std::holds_alternative<command_event::Stop>(event);
    if (now < deadline_ && !(stop && phase_ == Phase::running)) return out;
    if (phase_ == Phase::running) {
        phase_ = Phase::terminated;
        out.push_back({.kind = CommandAction::Kind::terminate});
    } else {
        // Again each time: what it started meanwhile dies, too.
        phase_ = Phase::killed;
        out.push_back({.kind = CommandAction::Kind::kill});
    }
    deadline_ = now + kCommandGrace;
    return out;
}

void CommandRun::take(std::string_view bytes, std::vector<CommandAction>& out) {
    for (const char c : bytes) {
        if (c != '\n') partial_.push_back(c);
        if (c == '\n' || partial_.size() == kCommandLineBytesMax) {
            if (!partial_.empty()) say(std::exchange(partial_, {}), out);
        }
    }
    assert(partial_.size() < kCommandLineBytesMax);
}

void CommandRun::say(std::string line, std::vector<CommandAction>& out) {
    ++lines_;
    if (lines_ > kCommandLinesMax) return;
    if (lines_ == kCommandLinesMax) line = "(the rest of its output is left out)";
    out.push_back({.kind = CommandAction::Kind::say, .line = std::move(line)});
}

}  // namespace tanist
