// What an operator asks of a node: the body of a `command` message, one JSON object with the fields
// below that are not empty or false. Reading it is pure and bounded; a field that this program does
// not know is refused, because it may be the one that makes the command harmless.
//
// Over the network a command carries a ticket: a number that the node gave this key a moment ago,
// good once. So a command that is sent again, or comes late, does nothing.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "replicator/base/clock.h"
#include "replicator/base/ids.h"
#include "replicator/base/result.h"

namespace tanist {

struct OperatorCommand {
    enum class Kind {
        ticket,  // changes nothing
        fence,
        unfence,
        promote,
        switchover,
        pause,
        resume,
        recover,
        members_list,  // changes nothing
        members_add,
        members_remove,
        members_allow_lead,
    };
    Kind kind = Kind::ticket;
    std::string ticket = {};
    std::string who = {};       // on the admin socket: the local user; else the node sets it
    std::string to = {};        // switchover: a member
    std::string asserted = {};  // promote: the node that the operator says is dead
    std::string node = {};      // members: an endpoint, an address, a key, a name
    std::string name = {};      // members add
    bool dry_run = false;
    bool force = false;
    bool accept_loss = false;
    bool may_lead = false;     // members add
    bool witness = false;      // members add
    bool is_operator = false;  // members add: `node` is an operator's key
    bool operator==(const OperatorCommand&) const = default;
};

const char* to_string(OperatorCommand::Kind kind);
// What it is about, for the audit log; never a secret.
std::string target_of(const OperatorCommand& command);
bool is_about_members(OperatorCommand::Kind kind);

// invalid: one sentence.
Result<OperatorCommand> parse_operator_command(std::string_view json);
std::string operator_command_json(const OperatorCommand& command);

// The tickets that are out. Pure; bounded: the oldest is void when there are too many.
class Tickets {
  public:
    using Number = std::array<uint8_t, 16>;
    static constexpr size_t kOutMax = 64;
    static constexpr Nanos kGoodFor = std::chrono::seconds(10);

    // `random` becomes its text.
    std::string give(const NodeKey& to, const Number& random, Instant now);
    // True once: it was given to this key, and not too long ago.
    bool take(const NodeKey& from, const std::string& ticket, Instant now);

  private:
    struct Out {
        NodeKey to;
        Instant given{0};
    };
    std::map<std::string, Out> out_;
};

}  // namespace tanist
