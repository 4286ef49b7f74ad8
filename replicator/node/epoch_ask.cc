#include "replicator/node/epoch_ask.h"

#include "replicator/node/status_poll.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kPatience = 300ms;

}  // namespace

std::optional<Superseded> ask_for_higher_epoch(const std::vector<Member>& members,
                                               const NodeFile& self) {
    std::vector<std::string> endpoints;
    for (const Member& member : members) endpoints.push_back(member.endpoint);
    std::optional<Superseded> highest;
    for (const PolledStatus& answer : poll_status(endpoints, kPatience)) {
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
