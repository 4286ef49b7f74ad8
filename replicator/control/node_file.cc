#include "replicator/control/node_file.h"

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "replicator/control/toml_text.h"

namespace tanist {
namespace {

constexpr int64_t kNodeFileVersion = 1;

// The fields as they stand in the file.
struct NodeFields {
    std::string role, cluster, group, boot;
    int64_t epoch = 0;
    int64_t superseded_by = 0;
    int64_t mark_pending = 0;
    int64_t version = 0;
};

Status take_entry(const std::string& path, const TomlEntry& entry, NodeFields& fields) {
    std::string* text = entry.key == "role"      ? &fields.role
                        : entry.key == "cluster" ? &fields.cluster
                        : entry.key == "group"   ? &fields.group
                        : entry.key == "boot"    ? &fields.boot
                                                 : nullptr;
    int64_t* number = entry.key == "epoch"           ? &fields.epoch
                      : entry.key == "superseded_by" ? &fields.superseded_by
                      : entry.key == "mark_pending"  ? &fields.mark_pending
                      : entry.key == "version"       ? &fields.version
                                                     : nullptr;
    if (!entry.table.empty() || (text == nullptr && number == nullptr)) {
        return toml_error(path, entry.line, "unknown field " + entry.key);
    }
    if (text != nullptr && std::holds_alternative<std::string>(entry.value)) {
        *text = std::get<std::string>(entry.value);
    } else if (number != nullptr && std::holds_alternative<int64_t>(entry.value)) {
        *number = std::get<int64_t>(entry.value);
    } else {
        return toml_error(path, entry.line, entry.key + " has a value of the wrong kind");
    }
    return ok_status();
}

template <class Id>
Result<Id> parse_id(const std::string& path, const std::string& key, const std::string& text) {
    Id id;
    if (!text.empty() && !parse_hex(text, id.bytes.data(), id.bytes.size())) {
        return Error{Errc::corrupt, path + ": " + key + " is not 32 hex digits"};
    }
    return id;
}

}  // namespace

Result<NodeFile> read_node_file(const std::string& path) {
    if (!path_exists(path)) return Error{Errc::not_found, path + " does not exist"};
    Result<std::vector<TomlEntry>> entries = read_toml(path);
    if (!entries) return std::move(entries).error();
    NodeFields fields;
    for (const TomlEntry& entry : *entries) TANIST_TRY(take_entry(path, entry, fields));
    if (fields.version != kNodeFileVersion) {
        return Error{Errc::version, path + " has version " + std::to_string(fields.version) +
                                        ", this Tanist knows version " +
                                        std::to_string(kNodeFileVersion)};
    }
    NodeFile node;
    if (fields.role == "primary") {
        node.role = Role::primary;
    } else if (fields.role == "replica") {
        node.role = Role::replica;
    } else if (fields.role == "fenced") {
        node.role = Role::fenced;
    } else if (fields.role == "witness") {
        node.role = Role::witness;
    } else {
        return Error{Errc::corrupt, path +
                                        ": role is none of \"primary\", \"replica\", \"fenced\", "
                                        "\"witness\""};
    }
    if (fields.epoch < 0 || fields.superseded_by < 0) {
        return Error{Errc::corrupt, path + ": epoch is negative"};
    }
    Result<ClusterId> cluster = parse_id<ClusterId>(path, "cluster", fields.cluster);
    if (!cluster) return std::move(cluster).error();
    Result<GroupId> group = parse_id<GroupId>(path, "group", fields.group);
    if (!group) return std::move(group).error();
    node.cluster = *cluster;
    node.group = *group;
    node.epoch = Epoch(static_cast<uint64_t>(fields.epoch));
    node.superseded_by = Epoch(static_cast<uint64_t>(fields.superseded_by));
    node.mark_pending = fields.mark_pending != 0;
    node.boot = fields.boot;
    return node;
}

Status write_node_file(const std::string& path, const NodeFile& node) {
    std::string text = "# Written by Tanist. Do not edit.\n";
    text += "version = " + std::to_string(kNodeFileVersion) + "\n";
    text += std::string("role = \"") + to_string(node.role) + "\"\n";
    text += "cluster = \"" + to_string(node.cluster) + "\"\n";
    text += "group = \"" + to_string(node.group) + "\"\n";
    text += "epoch = " + std::to_string(node.epoch.value) + "\n";
    if (node.superseded_by.value != 0) {
        text += "superseded_by = " + std::to_string(node.superseded_by.value) + "\n";
    }
    if (node.mark_pending) text += "mark_pending = 1\n";
    text += "boot = " + toml_quote(node.boot) + "\n";
    return replace_file(path, view_of(text));
}

}  // namespace tanist
