#include "replicator/control/ack_rule.h"

#include <doctest/doctest.h>

#include <vector>

using namespace tanist;

namespace {

AckRule rule(const std::string& text) {
    auto parsed = parse_ack_rule(text);
    REQUIRE_MESSAGE(parsed.ok(), text);
    return *parsed;
}

AckPoint at(uint64_t received, uint64_t durable, uint64_t applied) {
    return {Lsn{received}, Lsn{durable}, Lsn{applied}};
}

bool holds(const std::string& text, const std::vector<AckPoint>& points, uint64_t lsn) {
    const auto replicas = static_cast<uint32_t>(points.size());
    const bool is_satisfied = satisfied(rule(text), points, replicas, Lsn{lsn});
    CHECK(is_satisfied == (confirmed(rule(text), points, replicas) >= Lsn{lsn}));
    return is_satisfied;
}

}  // namespace

TEST_CASE("ack_rule: each rule is read as it is written") {
    for (const char* text :
         {"async", "received:1", "durable:2", "applied:64", "durable:majority"}) {
        CHECK(to_string(rule(text)) == text);
        CHECK(unpack_ack_rule(pack(rule(text))) == rule(text));
    }
    CHECK(pack(rule("async")) == 0);
}

TEST_CASE("ack_rule: nonsense is refused with the list of what is allowed") {
    for (const char* text : {"", "sync", "durable", "durable:", "durable:0", "durable:-1",
                             "durable:1x", "durable:99999", "received:majority", "Durable:1"}) {
        const auto parsed = parse_ack_rule(text);
        REQUIRE_FALSE(parsed.ok());
        CHECK(parsed.error().message.find("durable:majority") != std::string::npos);
    }
    CHECK(parse_on_timeout("panic").error().message.find("degrade") != std::string::npos);
    CHECK(parse_commit_mode("fast").error().message.find("pipelined") != std::string::npos);
}

TEST_CASE("ack_rule: a level counts the replicas that are so far, and no others") {
    const std::vector<AckPoint> points = {at(9, 7, 5), at(8, 8, 2)};
    CHECK(holds("received:2", points, 8));
    CHECK_FALSE(holds("received:2", points, 9));
    CHECK(holds("durable:1", points, 8));
    CHECK_FALSE(holds("durable:2", points, 8));
    CHECK(holds("applied:1", points, 5));
    CHECK_FALSE(holds("applied:2", points, 3));
}

// Two replicas and the primary are three: with one replica's copy there are two.
TEST_CASE("ack_rule: a majority counts the primary") {
    CHECK(replicas_needed(rule("durable:majority"), 1) == 1);
    CHECK(replicas_needed(rule("durable:majority"), 2) == 1);
    CHECK(replicas_needed(rule("durable:majority"), 3) == 2);
    CHECK(replicas_needed(rule("durable:majority"), 4) == 2);
    CHECK(holds("durable:majority", {at(5, 5, 0), at(0, 0, 0)}, 5));
    CHECK_FALSE(holds("durable:majority", {at(5, 5, 0), at(0, 0, 0), at(9, 4, 4)}, 5));
}

TEST_CASE("ack_rule: one that can never hold is named, with the remedy") {
    CHECK(why_impossible(rule("durable:2"), 1).find("only 1 replica;") != std::string::npos);
    CHECK(why_impossible(rule("durable:majority"), 0).find("no replica;") != std::string::npos);
    CHECK(why_impossible(rule("durable:2"), 2).empty());
    CHECK(why_impossible(rule("async"), 0).empty());
    CHECK_FALSE(holds("durable:1", {}, 1));
}

TEST_CASE("ack_rule: a bound on what may be lost is used up in its own unit") {
    const AtRisk risk{.bytes = 500, .commits = 3, .age = std::chrono::seconds(2)};
    CHECK(used_percent({}, risk) == 0);
    CHECK(used_percent({LagBound::Unit::bytes, 1000}, risk) == 50);
    CHECK(used_percent({LagBound::Unit::commits, 2}, risk) == 150);
    CHECK(used_percent({LagBound::Unit::milliseconds, 2000}, risk) == 100);
}
