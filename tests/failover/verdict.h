// What a failing cluster has to answer for when everything is healed, the same for every program
// that breaks one.
#pragma once

#include "tests/failover/cluster.h"

namespace tanist::torture {

struct Totals {
    size_t acknowledged = 0;
    size_t unknown = 0;
    size_t saved = 0;
};

// What a cluster with these options promises.
Promise promise_of(const ClusterOptions& options);
// "" or what is wrong. Nobody writes any more.
std::string judge(Cluster& cluster, const Promise& promise, Totals& totals);
// Keeps and prints what helps to find out why.
void post_mortem(Cluster& cluster);

}  // namespace tanist::torture
