// Roles that change in a cluster with keys: who may lead is signed, and asked before it matters.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/support/keyed_nodes.h"

using namespace tanist;
using namespace tanist::testing;

namespace {

// a is the primary; b may lead, c may not. CURVE on loopback.
struct KeyedTrio : KeyedNodes {
    KeyedTrio() {
        add("b", " --may-lead");
        add("c", "");
        start("a");
        REQUIRE(equal_soon("a", {"b", "c"}));
        for (const char* node : {"b", "c"}) {
            REQUIRE(eventually([&] {
                const std::string members = file_text(db(node) + "-tanist/members");
                return members.find(endpoints["a"]) != std::string::npos &&
                       members.find(endpoints["b"]) != std::string::npos &&
                       members.find(endpoints["c"]) != std::string::npos;
            }));
        }
    }
    std::string role(const std::string& name) const {
        const auto json =
            nlohmann::json::parse(tanist("status " + name + ".db --json").text, nullptr, false);
        return json.is_object() ? json.value("role", "") : "";
    }
    bool equal_soon(const std::string& primary, std::vector<std::string> others) const {
        const std::string wanted = image_of(db(primary));
        for (const std::string& other : others) {
            if (!eventually([&] { return image_of(db(other)) == wanted; })) return false;
        }
        return true;
    }
};

}  // namespace

TEST_CASE_FIXTURE(KeyedTrio, "keyed failover: a member that may lead is promoted and followed") {
    daemons["a"].kill();
    must("promote b.db --yes");
    StockSqlite(db("b")).must("INSERT INTO t VALUES('b')");
    CHECK(equal_soon("b", {"c"}));
    start("a");
    CHECK(eventually([&] { return role("a") == "replica"; }));
    CHECK(equal_soon("b", {"a", "c"}));
    // And back, planned; a's key founded the cluster.
    CHECK(eventually([&] { return tanist("switchover b.db --to " + endpoints["a"]).code == 0; }));
    StockSqlite(db("a")).must("INSERT INTO t VALUES('a')");
    CHECK(equal_soon("a", {"b", "c"}));
}

TEST_CASE_FIXTURE(KeyedTrio,
                  "keyed failover: one that may not lead is refused, until it is allowed") {
    const Outcome planned = tanist("switchover a.db --to c");
    CHECK(planned.code == 3);
    CHECK(planned.says("may not lead"));
    const Outcome forced = tanist("promote c.db --yes --force --accept-loss --assert-fenced a");
    CHECK(forced.code == 3);
    must("members allow-lead a.db c");
    // Its daemon hands the new list on; c itself must know it before it can be told.
    CHECK(eventually([&] { return tanist("switchover a.db --to c").code == 0; }));
    StockSqlite(db("c")).must("INSERT INTO t VALUES('c')");
    CHECK(equal_soon("c", {"a", "b"}));
}

TEST_CASE_FIXTURE(KeyedTrio, "keyed failover: after its primary's death a refused one says why") {
    daemons["a"].kill();
    const Outcome refused = tanist("promote c.db --yes");
    CHECK(refused.code == 3);
    CHECK(refused.says("may not lead"));
    CHECK(role("c") == "replica");
    CHECK(tanist("promote b.db --yes").code == 0);
}
