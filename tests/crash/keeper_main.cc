// crash_keeper intent|ballot DIRECTORY N: what the file remembers becomes N, or, with N = 0, is
// read as a starting node reads it. The exit code is what it remembers then.
#include <cstdlib>
#include <string>

#include "failover/adapters/ballot_store.h"
#include "replicator/apply/intent.h"
#include "tests/support/process/arguments.h"

namespace {

using namespace tanist;

constexpr int kTrouble = 100;

int keep_intent(const std::string& directory, uint64_t n) {
    auto file = IntentFile::open(directory + "/intent");
    if (!file) return kTrouble;
    const LogPoint point{{Epoch(1), Lsn(n)}, {}};
    if (n != 0 && !file->write({.done = point, .target = point, .durable = point}, true)) {
        return kTrouble;
    }
    const auto intent = file->read();
    return intent ? static_cast<int>(intent->done.position.lsn.value) : 0;
}

failover::Config group_of(const NodeKey& node) {
    failover::Config config;
    config.cluster.bytes.fill(1);
    config.group.bytes.fill(2);
    config.id = {Epoch(0), 1};
    config.members.emplace_back().node = node;
    config.sync_k = 0;
    config.timing = failover::timing_of(failover::TimingProfile::standard);
    return config;
}

int keep_ballot(const std::string& directory, uint64_t n) {
    const NodeKey self{{1}};
    auto store = failover::BallotStore::open(directory, self, false, Epoch(0));
    if (!store) return kTrouble;
    failover::Ballot ballot = store->found().ballot.ballot.value_or(failover::Ballot{});
    if (n == 0) return static_cast<int>(ballot.promised.value);
    ballot.serial += 1;
    ballot.node = self;
    ballot.promised = Epoch(n);
    ballot.config = group_of(self);
    return store->write(ballot, std::nullopt) ? static_cast<int>(n) : kTrouble;
}

}  // namespace

int main(int argc, char** argv) {
    tanist::testing::Arguments arguments(argc, argv);
    arguments.finish(3, "crash_keeper intent|ballot DIRECTORY N");
    const std::string& directory = arguments.words()[1];
    const uint64_t n = std::strtoull(arguments.words()[2].c_str(), nullptr, 10);
    return arguments.words()[0] == "intent" ? keep_intent(directory, n) : keep_ballot(directory, n);
}
