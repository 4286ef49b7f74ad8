#include "replicator/node/hook.h"

#include <cassert>

namespace tanist {

const char* to_string(HookEvent event) {
    switch (event) {
        case HookEvent::promote:
            return "promote";
        case HookEvent::demote:
            return "demote";
        case HookEvent::fence:
            return "fence";
    }
    return "?";
}

const std::string& command_of(const HookSettings& settings, HookEvent event) {
    switch (event) {
        case HookEvent::promote:
            return settings.on_promote;
        case HookEvent::demote:
            return settings.on_demote;
        case HookEvent::fence:
            break;
    }
    return settings.on_fence;
}

std::vector<std::string> environment_of(const HookFacts& facts) {
    const char* role = facts.event == HookEvent::promote  ? "primary"
                       : facts.event == HookEvent::demote ? "replica"
                                                          : "fenced";
    return {std::string("TANIST_EVENT=") + to_string(facts.event),
            "TANIST_DATABASE=" + facts.database,
            std::string("TANIST_ROLE=") + role,
            "TANIST_EPOCH=" + std::to_string(facts.epoch.value),
            "TANIST_POSITION=" + to_string(facts.position),
            "TANIST_ENDPOINT=" + facts.endpoint,
            "TANIST_PRIMARY=" + facts.primary,
            "TANIST_REASON=" + facts.reason,
            "TANIST_LOST_COMMITS=" + std::to_string(facts.lost_commits)};
}

std::vector<HookAction> HookRun::step(const HookRunEvent& event, Instant now) {
    std::vector<HookAction> out;
    if (phase_ == Phase::finished) return out;
    if (const auto* output = std::get_if<hook_event::Output>(&event)) take(output->bytes, out);
    if (const auto* ended = std::get_if<hook_event::Ended>(&event)) {
        if (!partial_.empty()) say(std::exchange(partial_, {}), out);
        out.push_back({.kind = HookAction::Kind::finished,
                       .code = ended->code,
                       .in_time = phase_ == Phase::running});
        phase_ = Phase::finished;
        return out;
    }
    if (now < deadline_) return out;
    if (phase_ == Phase::running) {
        phase_ = Phase::terminated;
        out.push_back({.kind = HookAction::Kind::terminate});
    } else {
        // Again each time: what it started meanwhile dies, too.
        phase_ = Phase::killed;
        out.push_back({.kind = HookAction::Kind::kill});
    }
    deadline_ = now + kHookGrace;
    return out;
}

void HookRun::take(std::string_view bytes, std::vector<HookAction>& out) {
    for (const char c : bytes) {
        if (c != '\n') partial_.push_back(c);
        if (c == '\n' || partial_.size() == kHookLineBytesMax) {
            if (!partial_.empty()) say(std::exchange(partial_, {}), out);
        }
    }
    assert(partial_.size() < kHookLineBytesMax);
}

void HookRun::say(std::string line, std::vector<HookAction>& out) {
    ++lines_;
    if (lines_ > kHookLinesMax) return;
    if (lines_ == kHookLinesMax) line = "(the rest of its output is left out)";
    out.push_back({.kind = HookAction::Kind::say, .line = std::move(line)});
}

}  // namespace tanist
