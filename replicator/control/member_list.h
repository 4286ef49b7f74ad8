// <db>-tanist/members.signed: the keys of a cluster and what each may do. Whoever has the right
// `admit` signs a new version; it travels over the links between members, and every node holds the
// same bytes. A list is taken only when its version is higher than the one held, its cluster is the
// same, and its signer may admit by the list that is held: no node can give itself a right, and an
// old list cannot come back.
//
// Layout, little-endian (texts: u16 length and bytes):
//   u32 magic "TNML", u16 format 1, u16 0, u64 version, 16 cluster, 32 signer, u32 count, u32 0
//   each node: 32 key, 32 old key or zero, u16 rights, name (<= 100), endpoint (<= 160)
//   64 Ed25519 signature over kMemberListContext and everything before it
// The same bytes are stored and sent. Decoding is pure and bounded.
#pragma once

#include <string>
#include <vector>

#include "replicator/base/bytes.h"
#include "replicator/base/keys.h"
#include "replicator/base/limits.h"
#include "replicator/base/result.h"
#include "replicator/control/identity.h"

namespace tanist {

constexpr uint32_t kMemberListMagic = 0x4C4D'4E54;  // "TNML"
constexpr uint16_t kMemberListFormat = 1;
constexpr std::string_view kMemberListContext = "tanist member list 1\n";
constexpr size_t kListedNodesMax = limits::kMembersMax + 16;
constexpr size_t kMemberListBytesMax = 60u << 10;  // fits a message of control

struct ListedNode {
    std::string name;      // unique in the list
    std::string endpoint;  // "" for a node that nobody connects to (a primary, an operator)
    NodeKey key;
    NodeKey old_key;  // accepted as well while a rotation is going on; zero: none
    Rights rights;
    bool holds(const NodeKey& asked) const {
        return !asked.is_zero() && (asked == key || asked == old_key);
    }
    bool operator==(const ListedNode&) const = default;
};

struct MemberList {
    uint64_t version = 0;  // 0: there is none
    ClusterId cluster;
    NodeKey signer;
    std::vector<ListedNode> nodes;
    Signature signature;

    const ListedNode* node_of(const NodeKey& key) const;
    Rights rights_of(const NodeKey& key) const;
    // Every key, the old ones too.
    std::vector<AllowedKey> allowed() const;
    bool operator==(const MemberList&) const = default;
};

// corrupt, version: with what was wrong. The signature is checked by why_list_refused.
Result<MemberList> decode_member_list(ByteView bytes);
// Requires: within the bounds above (a list that was decoded or made by add_listed is).
Bytes encode_member_list(const MemberList& list);
// Sets version + 1, signer and signature.
void sign_list(MemberList& list, const Identity& identity);
// invalid, refused: a bound, a name, endpoint or key that is there already.
Status add_listed(MemberList& list, ListedNode node);
bool remove_listed(MemberList& list, const NodeKey& key);

// "" when `offered` may replace `held`, else one sentence. A held list of version 0 trusts
// `first_signer` (the node whose invitation was taken); zero: nobody.
std::string why_list_refused(const MemberList& held, const MemberList& offered,
                             const NodeKey& first_signer);

// Absent: version 0. corrupt, also when the signature is wrong.
Result<MemberList> read_member_list(const std::string& path);
Status write_member_list(const std::string& path, const MemberList& list);

}  // namespace tanist
