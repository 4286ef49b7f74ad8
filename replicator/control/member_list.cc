#include "replicator/control/member_list.h"

#include <algorithm>

#include "replicator/base/file.h"

namespace tanist {
namespace {

constexpr size_t kNameBytesMax = 100;
constexpr size_t kEndpointBytesMax = 160;
constexpr size_t kSignatureBytes = sizeof(Signature::bytes);

Error corrupt(const std::string& what) { return {Errc::corrupt, "member list: " + what}; }

Bytes unsigned_part(const MemberList& list) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMemberListMagic);
    out.u16(kMemberListFormat);
    out.u16(0);
    out.u64(list.version);
    out.from(list.cluster.bytes);
    out.from(list.signer.bytes);
    out.u32(static_cast<uint32_t>(list.nodes.size()));
    out.u32(0);
    for (const ListedNode& node : list.nodes) {
        out.from(node.key.bytes);
        out.from(node.old_key.bytes);
        out.u16(node.rights.bits);
        out.text(node.name);
        out.text(node.endpoint);
    }
    return bytes;
}

Bytes signed_part(const MemberList& list) {
    Bytes bytes(kMemberListContext.begin(), kMemberListContext.end());
    const Bytes content = unsigned_part(list);
    bytes.insert(bytes.end(), content.begin(), content.end());
    return bytes;
}

bool printable(const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

const char* why_node_invalid(const ListedNode& node) {
    if (node.key.is_zero()) return "a node has no key";
    if (node.key == node.old_key) return "a node's old key is its key";
    if ((node.rights.bits & ~kRightsKnown) != 0) return "unknown rights";
    if (node.name.empty() || node.name.size() > kNameBytesMax || !printable(node.name)) {
        return "a node's name has 1 to 100 printable characters and no spaces";
    }
    if (node.endpoint.size() > kEndpointBytesMax || !printable(node.endpoint)) {
        return "a node's endpoint has at most 160 printable characters";
    }
    return nullptr;
}

const char* why_clash(const ListedNode& a, const ListedNode& b) {
    if (a.name == b.name) return "is there already";
    if (!a.endpoint.empty() && a.endpoint == b.endpoint) return "has that endpoint already";
    if (a.holds(b.key) || a.holds(b.old_key)) return "has that key already";
    return nullptr;
}

Status take_nodes(ByteReader& in, uint32_t count, MemberList& list) {
    for (uint32_t i = 0; i < count && in.ok(); ++i) {
        ListedNode node;
        in.into(node.key.bytes);
        in.into(node.old_key.bytes);
        node.rights.bits = in.u16();
        node.name = in.text(kNameBytesMax);
        node.endpoint = in.text(kEndpointBytesMax);
        if (!in.ok()) break;
        Status added = add_listed(list, std::move(node));
        if (!added) return corrupt(added.error().message);
    }
    return ok_status();
}

}  // namespace

const ListedNode* MemberList::node_of(const NodeKey& key) const {
    for (const ListedNode& node : nodes) {
        if (node.holds(key)) return &node;
    }
    return nullptr;
}

Rights MemberList::rights_of(const NodeKey& key) const {
    const ListedNode* node = node_of(key);
    return node == nullptr ? Rights{} : node->rights;
}

std::vector<AllowedKey> MemberList::allowed() const {
    std::vector<AllowedKey> keys;
    for (const ListedNode& node : nodes) {
        for (const NodeKey& key : {node.key, node.old_key}) {
            if (key.is_zero()) continue;
            if (auto curve = curve_key_of(key)) keys.push_back({*curve, key, node.rights});
        }
    }
    return keys;
}

Result<MemberList> decode_member_list(ByteView bytes) {
    if (bytes.size() > kMemberListBytesMax) return corrupt("too long");
    ByteReader in(bytes);
    if (in.u32() != kMemberListMagic) return corrupt("not one");
    if (const uint16_t format = in.u16(); in.ok() && format != kMemberListFormat) {
        return Error{Errc::version, "the member list has format " + std::to_string(format) +
                                        ", this program knows format 1"};
    }
    const uint16_t reserved = in.u16();
    MemberList list;
    list.version = in.u64();
    in.into(list.cluster.bytes);
    in.into(list.signer.bytes);
    const uint32_t count = in.u32();
    if (in.u32() != 0 || reserved != 0) return corrupt("a reserved field is not zero");
    if (!in.ok() || list.version == 0) return corrupt("too short, or without a version");
    if (count > kListedNodesMax) return corrupt("too many nodes");
    TANIST_TRY(take_nodes(in, count, list));
    in.into(list.signature.bytes);
    if (!in.ok()) return corrupt("too short");
    if (in.left() != 0) return corrupt("bytes after its end");
    return list;
}

Bytes encode_member_list(const MemberList& list) {
    Bytes bytes = unsigned_part(list);
    ByteWriter(bytes).from(list.signature.bytes);
    return bytes;
}

void sign_list(MemberList& list, const Identity& identity) {
    ++list.version;
    list.signer = identity.key();
    list.signature = identity.sign(signed_part(list));
}

Status add_listed(MemberList& list, ListedNode node) {
    if (const char* why = why_node_invalid(node)) return Error{Errc::invalid, why};
    if (!curve_key_of(node.key) || (!node.old_key.is_zero() && !curve_key_of(node.old_key))) {
        return Error{Errc::invalid, "a node's key is no public key"};
    }
    for (const ListedNode& other : list.nodes) {
        if (const char* why = why_clash(other, node)) {
            return Error{Errc::refused, "member " + other.name + " " + why};
        }
    }
    if (list.nodes.size() >= kListedNodesMax) {
        return Error{Errc::refused, "there are already " + std::to_string(kListedNodesMax) +
                                        " nodes in the list, which is the most"};
    }
    list.nodes.push_back(std::move(node));
    return ok_status();
}

bool remove_listed(MemberList& list, const NodeKey& key) {
    return std::erase_if(list.nodes, [&](const ListedNode& node) { return node.holds(key); }) != 0;
}

std::string why_list_refused(const MemberList& held, const MemberList& offered,
                             const NodeKey& first_signer) {
    if (held.version == 0) {
        if (first_signer.is_zero() || offered.signer != first_signer) {
            return "the member list is not signed by the node that holds the invitation";
        }
        if (!offered.rights_of(offered.signer).has(Right::admit)) {
            return "the signer of the member list may not admit by that list";
        }
    } else {
        if (offered.cluster != held.cluster) return "the member list is of another cluster";
        if (offered.version <= held.version) {
            return "the member list has version " + std::to_string(offered.version) +
                   ", this node holds version " + std::to_string(held.version);
        }
        if (!held.rights_of(offered.signer).has(Right::admit)) {
            return "the member list is signed by " + to_string(offered.signer) +
                   ", which may not admit members";
        }
    }
    if (!verify(offered.signer, signed_part(offered), offered.signature)) {
        return "the signature of the member list is wrong";
    }
    return "";
}

Result<MemberList> read_member_list(const std::string& path) {
    if (!path_exists(path)) return MemberList{};
    Result<Bytes> bytes = read_file(path, kMemberListBytesMax);
    if (!bytes) return std::move(bytes).error();
    Result<MemberList> list = decode_member_list(*bytes);
    if (!list) return std::move(list).error().in(path);
    if (!verify(list->signer, signed_part(*list), list->signature)) {
        return Error{Errc::corrupt, path +
                                        ": the signature is wrong; restore the file from a "
                                        "backup, or remove it and add this node again"};
    }
    return list;
}

Status write_member_list(const std::string& path, const MemberList& list) {
    return replace_file(path, encode_member_list(list));
}

}  // namespace tanist
