#include "replicator/node/epoch_ask.h"

#include "replicator/control/members.h"
#include "replicator/node/status_poll.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
// A primary's start waits so long for machines that are off.
constexpr Nanos kPatience = 300ms;

Nanos patience_of(const Settings& settings) {
    const bool far = settings.failover.profile == FailoverSettings::Profile::wan;
    return far ? kPollPatience : kPatience;
}

}  // namespace

Result<std::optional<Superseded>> ask_for_higher_epoch(const Layout& layout,
                                                       const Settings& settings,
                                                       const NodeFile& self) {
    auto members = read_members(layout.members());
    if (!members) return std::move(members).error();
    for (const std::string& endpoint : settings.replicas) {
        members->push_back({.name = endpoint, .endpoint = endpoint, .key = {}});
    }
    std::optional<Superseded> highest;
    for (const PolledStatus& answer :
         poll_status(layout, settings, *members, patience_of(settings))) {
        if (!answer.reached || answer.cluster != to_string(self.cluster) ||
            answer.group != to_string(self.group) || answer.epoch <= self.epoch) {
            continue;
        }
        if (!highest || answer.epoch > highest->epoch) {
            highest = Superseded{answer.epoch, answer.endpoint};
        }
    }
    return highest;
}

}  // namespace tanist
