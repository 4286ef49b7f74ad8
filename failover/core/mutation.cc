#include "failover/core/mutation.h"

#ifdef TANIST_MUTATIONS
namespace tanist::failover {
namespace {
thread_local Mutation planted = Mutation::none;
}
void plant(Mutation mutation) { planted = mutation; }
bool mutant(Mutation mutation) { return planted == mutation; }
}  // namespace tanist::failover
#endif
