#include "replicator/control/members.h"

#include <algorithm>
#include <cctype>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "replicator/base/limits.h"
#include "replicator/control/settings.h"
#include "replicator/control/toml_text.h"

namespace tanist {
namespace {

constexpr size_t kMemberNameBytesMax = 100;

Status take_entry(const std::string& path, const TomlEntry& entry, Member& member) {
    if (const bool* witness = std::get_if<bool>(&entry.value); witness && entry.key == "witness") {
        member.witness = *witness;
        return ok_status();
    }
    const std::string* text = std::get_if<std::string>(&entry.value);
    if (text == nullptr) return toml_error(path, entry.line, entry.key + " is a \"string\"");
    if (entry.key == "name") {
        member.name = *text;
    } else if (entry.key == "endpoint") {
        member.endpoint = *text;
    } else if (entry.key == "key") {
        if (!parse_hex(*text, member.key.bytes.data(), member.key.bytes.size())) {
            return toml_error(path, entry.line, "key is not 64 hex digits");
        }
    } else {
        return toml_error(path, entry.line, "unknown field " + entry.key);
    }
    return ok_status();
}

// "127.0.0.1:7401" of "tcp://127.0.0.1:7401"; the path of an ipc endpoint.
std::string name_of_endpoint(const std::string& endpoint) {
    size_t at = endpoint.find("://");
    return at == std::string::npos ? endpoint : endpoint.substr(at + 3);
}

bool printable(const std::string& name) {
    return std::all_of(name.begin(), name.end(),
                       [](char c) { return std::isgraph(static_cast<unsigned char>(c)) != 0; });
}

Result<std::vector<Member>> members_of(const std::string& path,
                                       const std::vector<TomlEntry>& entries) {
    std::vector<Member> members;
    for (const TomlEntry& entry : entries) {
        if (entry.table != "member") {
            return toml_error(path, entry.line, "only [[member]] tables belong here");
        }
        if (entry.table_index >= limits::kMembersMax) {
            return toml_error(path, entry.line,
                              "more than " + std::to_string(limits::kMembersMax) + " members");
        }
        if (entry.table_index >= members.size()) members.resize(entry.table_index + 1);
        TANIST_TRY(take_entry(path, entry, members[entry.table_index]));
    }
    for (Member& member : members) {
        if (member.endpoint.empty()) {
            return Error{Errc::invalid, path + ": a member has no endpoint"};
        }
        if (member.name.empty()) member.name = name_of_endpoint(member.endpoint);
    }
    return members;
}

}  // namespace

Result<std::vector<Member>> read_members(const std::string& path) {
    Result<std::vector<TomlEntry>> entries = read_toml(path);
    if (!entries) return std::move(entries).error();
    return members_of(path, *entries);
}

Result<std::vector<Member>> parse_members(const std::string& path, std::string_view text) {
    Result<std::vector<TomlEntry>> entries = parse_toml(path, text);
    if (!entries) return std::move(entries).error();
    return members_of(path, *entries);
}

std::string members_text(const std::vector<Member>& members) {
    std::string text = "# Changed by `tanist members add` and `tanist members remove`.\n";
    for (const Member& member : members) {
        text += "\n[[member]]\n";
        text += "name = " + toml_quote(member.name) + "\n";
        text += "endpoint = " + toml_quote(member.endpoint) + "\n";
        if (!member.key.is_zero()) text += "key = \"" + to_string(member.key) + "\"\n";
        if (member.witness) text += "witness = true\n";
    }
    return text;
}

Status write_members(const std::string& path, const std::vector<Member>& members) {
    return replace_file(path, view_of(members_text(members)));
}

Status add_member(std::vector<Member>& members, Member member) {
    TANIST_TRY(member.key.is_zero() ? check_endpoint(member.endpoint)
                                    : check_any_endpoint(member.endpoint));
    if (member.endpoint.ends_with(":*")) {
        return Error{Errc::invalid, member.endpoint +
                                        " has no port: a member is connected to, so "
                                        "its real port is needed"};
    }
    if (member.name.empty()) member.name = name_of_endpoint(member.endpoint);
    if (member.name.size() > kMemberNameBytesMax || !printable(member.name)) {
        return Error{Errc::invalid, "a member's name has at most " +
                                        std::to_string(kMemberNameBytesMax) +
                                        " printable characters and no spaces"};
    }
    if (members.size() >= limits::kMembersMax) {
        return Error{Errc::refused, "there are already " + std::to_string(limits::kMembersMax) +
                                        " members, which is the most"};
    }
    for (const Member& other : members) {
        if (other.endpoint == member.endpoint || other.name == member.name ||
            (!member.key.is_zero() && other.key == member.key)) {
            return Error{Errc::refused,
                         "member " + other.name + " (" + other.endpoint + ") is there already"};
        }
    }
    members.push_back(std::move(member));
    return ok_status();
}

Status remove_member(std::vector<Member>& members, const std::string& name_or_endpoint) {
    auto found = std::find_if(members.begin(), members.end(), [&](const Member& member) {
        return member.name == name_or_endpoint || member.endpoint == name_or_endpoint;
    });
    if (found == members.end()) {
        return Error{Errc::not_found, "no member is named " + name_or_endpoint};
    }
    members.erase(found);
    return ok_status();
}

}  // namespace tanist
