#include "replicator/control/key_rotation.h"

#include <algorithm>

namespace tanist {

Bytes new_key_statement(const ClusterId& cluster, const NodeKey& old_key, const NodeKey& new_key) {
    constexpr std::string_view kContext = "tanist new key 1\n";
    Bytes bytes(kContext.begin(), kContext.end());
    ByteWriter out(bytes);
    out.from(cluster.bytes);
    out.from(old_key.bytes);
    out.from(new_key.bytes);
    return bytes;
}

Status begin_rotation(MemberList& list, const NodeKey& old_key, const NodeKey& new_key) {
    auto node = std::find_if(list.nodes.begin(), list.nodes.end(),
                             [&](const ListedNode& n) { return n.key == old_key; });
    if (node == list.nodes.end()) {
        return Error{Errc::refused, "the member list has no node with key " + to_string(old_key)};
    }
    if (!node->old_key.is_zero()) {
        return Error{Errc::refused, "a rotation of " + node->name + " is going on already"};
    }
    if (list.node_of(new_key) != nullptr || !curve_key_of(new_key)) {
        return Error{Errc::refused, "the new key is in use already, or is none"};
    }
    node->old_key = node->key;
    node->key = new_key;
    return ok_status();
}

bool end_rotation(MemberList& list, const NodeKey& new_key) {
    for (ListedNode& node : list.nodes) {
        if (node.key != new_key || node.old_key.is_zero()) continue;
        node.old_key = {};
        return true;
    }
    return false;
}

}  // namespace tanist
