#include "replicator/node/hook.h"

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

}  // namespace tanist
