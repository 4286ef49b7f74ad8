#include "replicator/node/epoch_claim.h"

#include <doctest/doctest.h>

namespace tanist {
namespace {

size_t needed(size_t data_members, const std::string& rule) {
    return claims_needed(data_members, parse_ack_rule(rule).value());
}

}  // namespace

TEST_CASE("epoch_claim: fewer than K replicas are left to an old primary") {
    for (size_t members = 2; members <= 9; ++members) {
        for (size_t copies = 1; copies < members; ++copies) {
            CAPTURE(members);
            CAPTURE(copies);
            const size_t kept = needed(members, "durable:" + std::to_string(copies));
            const size_t left = members - kept - (kept == members ? 0 : 1);  // without itself
            CHECK(left < copies);
            CHECK(kept * 2 > members);
        }
    }
}

TEST_CASE("epoch_claim: no more keep it than that takes") {
    CHECK(needed(1, "async") == 1);
    CHECK(needed(5, "async") == 3);
    CHECK(needed(2, "durable:1") == 2);
    CHECK(needed(3, "received:1") == 2);
    CHECK(needed(5, "durable:1") == 4);
    CHECK(needed(5, "durable:2") == 3);
    CHECK(needed(5, "applied:4") == 3);
    CHECK(needed(5, "durable:majority") == 3);
    CHECK(needed(3, "durable:5") == 2);
}

}  // namespace tanist
