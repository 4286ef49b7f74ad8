// <db>-tanist/members: to whom this primary ships. Text (TOML), replaced atomically. The engine
// rereads it when its modification time changes. Which keys a cluster knows is in members.signed
// (control/member_list.h).
#pragma once

#include <string>
#include <vector>

#include "replicator/base/ids.h"
#include "replicator/base/result.h"

namespace tanist {

struct Member {
    std::string name;      // unique; host:port unless given
    std::string endpoint;  // tcp:// or ipc://
    NodeKey key;           // its connections use CURVE; zero: they are plain, on this machine
    bool witness = false;  // votes and holds no data: nothing is shipped to it
    bool operator==(const Member&) const = default;
};

Result<std::vector<Member>> read_members(const std::string& path);  // absent: empty
Status write_members(const std::string& path, const std::vector<Member>& members);
// The same text, as it travels in a roster; `path` names its origin in complaints.
Result<std::vector<Member>> parse_members(const std::string& path, std::string_view text);
std::string members_text(const std::vector<Member>& members);
// Errc::refused when the endpoint or name is there already.
Status add_member(std::vector<Member>& members, Member member);
Status remove_member(std::vector<Member>& members, const std::string& name_or_endpoint);

}  // namespace tanist
