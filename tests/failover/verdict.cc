#include "tests/failover/verdict.h"

#include <cstdio>

namespace tanist::torture {

Promise promise_of(const ClusterOptions& options) {
    const bool synchronous = options.ack != "async";
    return {.sum = Cluster::kSum,
            .acknowledged_survives = synchronous,
            .one_holder = synchronous || options.automatic};
}

std::string judge(Cluster& cluster, const Promise& promise, Totals& totals) {
    if (!cluster.converges()) return "the nodes do not come together";
    const History history = cluster.history();
    const Final end = cluster.final_state(cluster.primary());
    totals.acknowledged = totals.unknown = 0;
    totals.saved = end.saved.size();
    for (const Operation& op : history) {
        totals.acknowledged += op.outcome == Outcome::acknowledged;
        totals.unknown += op.outcome == Outcome::unknown;
    }
    std::string all;
    for (const std::string& breach : breaches_of(history, end, promise)) all += "\n  " + breach;
    return all;
}

void post_mortem(Cluster& cluster) {
    cluster.stop_clients();
    cluster.keep_files();
    std::printf("%s", cluster.describe_databases().c_str());
    for (int node = 0; node < Cluster::kNodes; ++node) {
        std::printf("status of %s: %s\n", Cluster::name(node).c_str(),
                    cluster.status(node).dump().c_str());
    }
}

}  // namespace tanist::torture
