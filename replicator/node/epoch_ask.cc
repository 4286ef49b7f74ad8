#include "replicator/node/epoch_ask.h"

#include "replicator/node/status_poll.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kPatience = 300ms;

}  // namespace

std::optional<Superseded> ask_for_higher_epoch(const Layout& layout, const Settings& settings,
                                               const std::vector<Member>& members,
                                               const NodeFile& self) {
    std::optional<Superseded> highest;
    for (const PolledStatus& answer : poll_status(layout, settings, members, kPatience)) {
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
