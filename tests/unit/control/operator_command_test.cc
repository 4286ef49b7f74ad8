#include "replicator/control/operator_command.h"

#include <doctest/doctest.h>

#include <vector>

using namespace tanist;
using namespace std::chrono_literals;

namespace {

using Kind = OperatorCommand::Kind;

NodeKey key(uint8_t byte) {
    NodeKey made;
    made.bytes.fill(byte);
    return made;
}

std::string why(std::string_view json) {
    auto command = parse_operator_command(json);
    return command ? "" : command.error().message;
}

}  // namespace

TEST_CASE("operator_command: what is written is read") {
    const OperatorCommand full{.kind = Kind::members_add,
                               .ticket = "t",
                               .who = "uid 0 (root)",
                               .to = "b",
                               .asserted = "a",
                               .node = "tcp://127.0.0.1:1",
                               .name = "n\"\n",
                               .dry_run = true,
                               .force = true,
                               .accept_loss = true,
                               .may_lead = true,
                               .witness = true,
                               .is_operator = true};
    CHECK(parse_operator_command(operator_command_json(full)).value() == full);
    for (int kind = 0; kind <= static_cast<int>(Kind::members_allow_lead); ++kind) {
        const OperatorCommand command{.kind = static_cast<Kind>(kind)};
        CHECK(parse_operator_command(operator_command_json(command)).value() == command);
    }
}

// The field that is not understood may be the one that says "do nothing".
TEST_CASE("operator_command: a field that is not known is refused") {
    CHECK(why(R"({"command":"promote","dry_ran":true})").find("dry_ran") != std::string::npos);
}

TEST_CASE("operator_command: what is no command is refused") {
    for (const char* wrong :
         {"", "null", "[]", "{}", R"({"command":7})", R"({"command":"reboot"})",
          R"({"command":"promote","force":1})", R"({"command":"switchover","to":["b"]})",
          R"({"to":"b"})", R"({"command":"fence")"}) {
        CAPTURE(wrong);
        CHECK_FALSE(why(wrong).empty());
    }
    CHECK(
        why(R"({"command":"switchover","to":")" + std::string(513, 'b') + "\"}").find("too long") !=
        std::string::npos);
}

TEST_CASE("operator_command: the audit log's target has no secret") {
    const std::string address =
        "tanist://" + std::string(63, '0') + "9@h:1?invite=" + std::string(32, 'a');
    CHECK(target_of({.kind = Kind::members_add, .node = address}).find("invite") ==
          std::string::npos);
    CHECK(target_of({.kind = Kind::switchover, .to = "b"}) == "b");
}

TEST_CASE("tickets: good once, for one key, for a short time") {
    Tickets tickets;
    const std::string first = tickets.give(key(1), {1}, Instant{0});
    CHECK_FALSE(tickets.take(key(2), first, Instant{1}));
    CHECK(tickets.take(key(1), first, Instant{1}));
    CHECK_FALSE(tickets.take(key(1), first, Instant{1}));
    const std::string late = tickets.give(key(1), {2}, Instant{0});
    CHECK_FALSE(tickets.take(key(1), late, Instant{0} + Tickets::kGoodFor));
    CHECK_FALSE(tickets.take(key(1), "", Instant{0}));
}

TEST_CASE("tickets: too many are bounded, and the oldest is void") {
    Tickets tickets;
    std::vector<std::string> given;
    for (uint8_t i = 0; i <= Tickets::kOutMax; ++i) {
        given.push_back(tickets.give(key(1), {i}, Instant{i}));
    }
    CHECK_FALSE(tickets.take(key(1), given.front(), Instant{100}));
    CHECK(tickets.take(key(1), given[1], Instant{100}));
    CHECK(tickets.take(key(1), given.back(), Instant{100}));
}
