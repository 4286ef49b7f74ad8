// tanist://KEY@HOST:PORT?invite=SECRET, as a new node prints it and `tanist members add` takes it:
// where a node is, by which key it is recognised, and the secret that lets one other node in, once.
// KEY is the Ed25519 public key, 64 hex digits; SECRET 128 random bits, 32 hex digits. Pure.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "replicator/base/ids.h"
#include "replicator/base/result.h"

namespace tanist {

using InviteSecret = std::array<uint8_t, 16>;

struct NodeAddress {
    NodeKey key;
    std::string endpoint;  // tcp://HOST:PORT
    std::optional<InviteSecret> invite;
    bool operator==(const NodeAddress&) const = default;
};

bool is_node_address(const std::string& text);  // begins with tanist://
Result<NodeAddress> parse_node_address(const std::string& text);
std::string to_string(const NodeAddress& address);

}  // namespace tanist
