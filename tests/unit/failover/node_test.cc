// Whole nodes in a small cluster with instant messages and disks: elections, commits, hand-over.
#include "failover/core/node.h"

#include <doctest/doctest.h>

#include "tests/unit/failover/failover_fixture.h"

using namespace tanist;
using namespace tanist::failover;

namespace {

// Three data members, k = 1, with a primary.
struct Three : ClusterFixture {
    int old = -1;
    Three() { elect(config_of(3, 0, 1)); }
    void elect(const Config& with) {
        make(with);
        run(1s);
        old = primary();
        REQUIRE(old >= 0);
        REQUIRE(is_open(old));
    }
    int other(int than) const { return (than + 1) % 3; }
};

}  // namespace

TEST_CASE_FIXTURE(Three, "node: a new group elects one primary, and it opens") {
    int holders = 0;
    for (auto& node : nodes) holders += node->holder().active();
    CHECK(holders == 1);
    CHECK(node(old).holder().committed().lsn == Lsn(1));
}

TEST_CASE_FIXTURE(Three, "node: V2, an isolated replica changes nothing when it comes back") {
    const Epoch before = node(old).holder().epoch();
    cut[other(old)] = true;
    run(10s);
    CHECK(is_open(old));
    cut[other(old)] = false;
    run(10s);
    CHECK(primary() == old);
    CHECK(node(old).holder().epoch() == before);
}

TEST_CASE_FIXTURE(Three, "node: B17a, a primary that is alone closes its gate, then is replaced") {
    cut[old] = true;
    const Instant lost = now;
    while (now < gates[static_cast<size_t>(old)].until) run(10ms);
    CHECK(now - lost <= config.timing.lease);
    CHECK(primary() == -1);  // nobody opens before the gate is closed
    run(config.timing.promise);
    const int next = primary();
    REQUIRE(next >= 0);
    CHECK(next != old);
    CHECK(is_open(next));
    CHECK_FALSE(is_open(old));
}

TEST_CASE_FIXTURE(Three, "node: an old primary that returns steps down before it serves") {
    cut[old] = true;
    run(6s);
    const int next = primary();
    cut[old] = false;
    run(2 * config.timing.heartbeat);
    CHECK_FALSE(node(old).holder().active());
    CHECK(gates[static_cast<size_t>(old)].state == GateState::closed);
    CHECK(node(old).admit(node(next).holder().epoch(), key_of(next)) == Voter::Admission::take);
}

TEST_CASE_FIXTURE(Three, "node: a restart never restores the role") {
    NodeStart start;
    start.config = config;
    start.voter.ballot = node(old).voter().ballot();
    start.voter.condition = BallotCondition::good;
    start.voter.token = node(old).voter().token();
    start.log = logs[static_cast<size_t>(old)];
    Actions actions;
    Node again(start, *signers[static_cast<size_t>(old)], now, actions);
    CHECK_FALSE(again.holder().active());
    const auto* gate = find_action<action::SetGate>(actions);
    REQUIRE(gate != nullptr);
    CHECK(gate->gate.state == GateState::closed);
}

TEST_CASE_FIXTURE(
    Three, "node: B14, a switchover passes the epoch on at once, without a promise to wait") {
    const int to = other(old);
    const Instant asked = now;
    step(old, event::SwitchOver{key_of(to)});
    run(100ms);
    CHECK(primary() == to);
    CHECK(is_open(to));
    CHECK(now - asked < 200ms);
    CHECK_FALSE(node(old).holder().active());
    CHECK(node(to).voter().token()->terms.kind == VoteKind::handover);
}

TEST_CASE_FIXTURE(Three,
                  "node: B14, a target that does not catch up is given up, the old goes on") {
    const int to = other(old);
    const Epoch before = node(old).holder().epoch();
    cut[to] = true;
    append(old, before.value);
    step(old, event::SwitchOver{key_of(to)});
    CHECK(gates[static_cast<size_t>(old)].state == GateState::waiting);
    run(config.timing.drain + 100ms);
    CHECK(primary() == old);
    CHECK(is_open(old));
    CHECK(node(old).holder().epoch() == before);
    CHECK(reports.back().find("given up") != std::string::npos);
}

TEST_CASE_FIXTURE(Three, "node: a switchover to nobody is refused, nothing happens") {
    step(old, event::SwitchOver{key_of(77)});
    CHECK(reports.back().find("refused") != std::string::npos);
    CHECK(is_open(old));
}

TEST_CASE("node: a switchover of an asynchronous group needs no third member") {
    ClusterFixture cluster;
    cluster.make(config_of(3, 0, 0));
    cluster.run(1s);
    const int old = cluster.primary();
    const int to = (old + 1) % 3;
    cluster.run(300ms);
    cluster.cut[(old + 2) % 3] = true;
    cluster.step(old, event::SwitchOver{key_of(to)});
    cluster.run(200ms);
    CHECK(cluster.primary() == to);
    CHECK(cluster.is_open(to));
}

TEST_CASE_FIXTURE(Three, "node: C1, a commit needs k acknowledgements and the own copy") {
    cut[other(old)] = cut[other(other(old))] = true;
    const Lsn before = node(old).holder().committed().lsn;
    append(old, node(old).holder().epoch().value);
    CHECK(node(old).holder().committed().lsn == before);
    cut[other(old)] = false;
    follow(other(old), old);
    CHECK(node(old).holder().committed().lsn == before.next());
}

TEST_CASE_FIXTURE(Three, "node: C2, what the primary has not synced itself is not committed") {
    LogState& log = logs[static_cast<size_t>(old)];
    const Lsn before = node(old).holder().committed().lsn;
    const Epoch epoch = node(old).holder().epoch();
    log.end = point(epoch.value, log.end.position.lsn.value + 1);
    step(old, event::LogMoved{log});
    const Lsn end = log.end.position.lsn;
    for (int i : {other(old), other(other(old))}) {
        step(old, event::Acknowledged{key_of(i), epoch, end, end, before});
    }
    CHECK(node(old).holder().committed().lsn == before);
    log.durable = end;
    step(old, event::LogMoved{log});
    CHECK(node(old).holder().committed().lsn == end);
}

TEST_CASE_FIXTURE(Three, "node: acks of another epoch count nothing") {
    append(old, node(old).holder().epoch().value);
    const Lsn end = logs[static_cast<size_t>(old)].end.position.lsn;
    const Lsn before = node(old).holder().committed().lsn;
    step(old, event::Acknowledged{key_of(other(old)), Epoch(0), end, end, end});
    CHECK(node(old).holder().committed().lsn == before);
}

TEST_CASE_FIXTURE(Three, "node: L6, a primary whose disk makes no progress gives its epoch up") {
    const Epoch before = node(old).holder().epoch();
    const Instant begin = now;
    while (node(old).holder().active() && now - begin < 5s) {
        now = now + 10ms;
        for (int i = 0; i < 3; ++i) {
            if (i != old) step(i, event::Progress{});
            step(i, event::Tick{});
        }
    }
    CHECK(now - begin <= config.timing.lease + config.timing.heartbeat + 10ms);
    run(300ms);
    REQUIRE(primary() >= 0);
    CHECK(primary() != old);
    CHECK(node(primary()).holder().epoch() > before);
}

TEST_CASE("node: on_app_exit = release, the others need not wait") {
    ClusterFixture cluster;
    Config config = config_of(3, 0, 1);
    config.on_app_exit = OnAppExit::release;
    cluster.make(config);
    cluster.run(1s);
    const int old = cluster.primary();
    cluster.step(old, event::AppGone{});
    cluster.run(200ms);
    REQUIRE(cluster.primary() >= 0);
    CHECK(cluster.primary() != old);
}

TEST_CASE_FIXTURE(Three, "node: a log that cannot be written gives the lease back at once") {
    logs[static_cast<size_t>(old)].writable = false;
    step(old, event::LogMoved{logs[static_cast<size_t>(old)]});
    run(200ms);  // far less than a promise
    REQUIRE(primary() >= 0);
    CHECK(primary() != old);
}

TEST_CASE_FIXTURE(Three, "node: a log that cannot be written is kept where nobody follows") {
    for (int i = 0; i < 3; ++i) cut[i] = i != old;
    run(4 * config.timing.heartbeat);
    logs[static_cast<size_t>(old)].writable = false;
    step(old, event::LogMoved{logs[static_cast<size_t>(old)]});
    CHECK(node(old).holder().active());
}

TEST_CASE_FIXTURE(Three, "node: on_app_exit = keep, the lease stays") {
    step(old, event::AppGone{});
    CHECK(is_open(old));
}

TEST_CASE_FIXTURE(Three, "node: pause is stored by a majority, then nobody is elected") {
    step(old, event::Pause{true});
    CHECK(node(old).view().policy.paused);
    cut[old] = true;
    run(10s);
    CHECK(primary() == -1);
    const int heir = other(old);
    OperatorCert order = order_of(config, VoteKind::ordered, 0, heir);
    step(heir, event::Promote{order});
    run(100ms);
    CHECK(primary() == heir);
    CHECK(node(heir).view().policy.paused);  // it lasts until somebody resumes
    step(heir, event::Pause{false});
    CHECK_FALSE(node(heir).view().policy.paused);
}

TEST_CASE("node: B7, two and a witness go on alone when degrade is allowed, and restore") {
    ClusterFixture cluster;
    Config config = config_of(2, 1, 1);
    config.on_unavailable = OnUnavailable::degrade;
    cluster.make(config);
    cluster.run(1s);
    const int old = cluster.primary();
    const int replica = 1 - old;
    cluster.cut[replica] = true;
    cluster.append(old, cluster.node(old).holder().epoch().value);
    const Lsn end = cluster.logs[static_cast<size_t>(old)].end.position.lsn;
    cluster.run(config.timing.degrade_after - 100ms);
    CHECK(cluster.node(old).holder().committed().lsn < end);
    cluster.run(500ms);
    CHECK(cluster.node(old).holder().policy().k == 0);
    CHECK(cluster.node(old).holder().committed().lsn >= end);
    CHECK(cluster.node(2).voter().ballot().policy.k == 0);  // the witness stored it
    cluster.cut[replica] = false;
    cluster.run(1s);
    CHECK(cluster.node(old).holder().policy().k == 1);
    CHECK(cluster.node(2).voter().ballot().policy.k == 1);
}

// SOLODEGRADE: without the witness nothing weaker may be used.
TEST_CASE("node: B7, no degrade without a majority") {
    ClusterFixture cluster;
    Config config = config_of(2, 1, 1);
    config.on_unavailable = OnUnavailable::degrade;
    cluster.make(config);
    cluster.run(1s);
    const int old = cluster.primary();
    cluster.cut[1 - old] = cluster.cut[2] = true;
    cluster.append(old, cluster.node(old).holder().epoch().value);
    const Lsn before = cluster.node(old).holder().committed().lsn;
    cluster.run(10s);
    CHECK(cluster.node(old).holder().committed().lsn == before);
}

TEST_CASE("node: forced promotion, without a majority, outranks all that the others count") {
    ClusterFixture cluster;
    cluster.make(config_of(3, 0, 1));
    cluster.run(1s);
    const int old = cluster.primary();
    const int heir = (old + 1) % 3;
    cluster.cut[old] = cluster.cut[(old + 2) % 3] = true;
    const Epoch before = cluster.node(old).holder().epoch();
    const Epoch forced = *forced_epoch(before, 0x1234);
    cluster.step(heir,
                 event::Promote{order_of(cluster.config, VoteKind::forced, forced.value, heir)});
    CHECK(cluster.node(heir).holder().epoch() == forced);
    CHECK(forced > before);
    cluster.cut[(old + 2) % 3] = false;
    cluster.run(1s);
    CHECK(cluster.is_open(heir));
    cluster.cut[old] = false;
    cluster.run(1s);
    CHECK_FALSE(cluster.node(old).holder().active());
}

TEST_CASE_FIXTURE(Three, "node: a ballot that cannot be written stops the node") {
    step(old, event::PersistFailed{"no space"});
    CHECK(node(old).view().role == NodeRole::stopped);
    CHECK(gates[static_cast<size_t>(old)].state == GateState::closed);
    CHECK_FALSE(node(old).may_ack(node(old).voter().promised()));
    run(6s);
    CHECK(primary() != old);
}
