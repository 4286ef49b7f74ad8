#include <algorithm>

#include "failover/commands.h"
#include "failover/output.h"
#include "replicator/base/file.h"
#include "replicator/control/alarm.h"
#include "replicator/control/audit.h"
#include "replicator/control/key_rotation.h"
#include "replicator/control/node_address.h"
#include "replicator/control/setup.h"

namespace tanist {
namespace {

// The database, or the only one in this directory.
Result<std::string> database_of(const KeysOptions& options) {
    if (!options.db.empty()) return options.db;
    constexpr std::string_view kSuffix = "-tanist";
    Result<std::vector<std::string>> names = list_directory(".");
    if (!names) return std::move(names).error();
    std::vector<std::string> found;
    for (const std::string& name : *names) {
        if (!name.ends_with(kSuffix)) continue;
        found.push_back(name.substr(0, name.size() - kSuffix.size()));
    }
    if (found.size() == 1) return found.front();
    return Error{Errc::invalid, "which database? this directory has " +
                                    std::to_string(found.size()) + " that are set up"};
}

Json rights_json(Rights rights) {
    Json names = Json::array();
    if (rights.has(Right::lead)) names.push_back("lead");
    if (rights.has(Right::admit)) names.push_back("admit");
    if (rights.has(Right::operate)) names.push_back("operate");
    return names;
}

Json list_json(const MemberList& list) {
    if (list.version == 0) return Json();
    Json nodes = Json::array();
    for (const ListedNode& node : list.nodes) {
        nodes.push_back(
            {{"name", node.name},
             {"endpoint", node.endpoint},
             {"key", to_string(node.key)},
             {"old_key", node.old_key.is_zero() ? Json() : Json(to_string(node.old_key))},
             {"rights", rights_json(node.rights)}});
    }
    return {{"version", list.version}, {"signer", to_string(list.signer)}, {"nodes", nodes}};
}

std::vector<std::string> addresses_of(const Layout& layout, const NodeKey& key) {
    std::vector<std::string> addresses;
    Result<Settings> settings = read_settings(layout.settings());
    if (!settings) return addresses;
    for (const std::string& endpoint : settings->listen) {
        if (!endpoint.starts_with("tcp://") || endpoint.ends_with(":*")) continue;
        if (!settings->curve && is_local_endpoint(endpoint)) continue;
        addresses.push_back(to_string(NodeAddress{key, endpoint, {}}));
    }
    return addresses;
}

void print_keys(const Json& keys) {
    print_line(keys["database"].get<std::string>());
    print_line("  key        " + keys["key"].get<std::string>());
    if (!keys["next_key"].is_null()) {
        print_line("  next key   " + keys["next_key"].get<std::string>() +
                   " (used when every member knows it)");
    }
    for (const Json& address : keys["addresses"]) {
        print_line("  address    " + address.get<std::string>());
    }
    if (std::string alarm = keys["alarm"]; !alarm.empty()) print_line("  alarm      " + alarm);
    const Json& list = keys["list"];
    if (list.is_null()) return print_line("  no signed member list: nobody is known by a key");
    print_line("  list       version " + std::to_string(list["version"].get<uint64_t>()));
    std::vector<std::vector<std::string>> rows = {{"  NODE", "RIGHTS", "KEY", "OLD KEY"}};
    for (const Json& node : list["nodes"]) {
        std::string rights;
        for (const Json& right : node["rights"]) {
            rights += (rights.empty() ? "" : ",") + right.get<std::string>();
        }
        rows.push_back({"  " + node["name"].get<std::string>(), rights.empty() ? "-" : rights,
                        node["key"].get<std::string>(),
                        node["old_key"].is_null() ? "" : node["old_key"].get<std::string>()});
    }
    print_line(table(rows));
}

// A cluster that knows nobody by a key: the new identity is used from the next start on. A primary
// begins a new epoch with it: its replicas would take it for a second primary of the old one.
Status replace_identity(const Layout& layout, const Identity& fresh, NodeFile node) {
    if (engine_lives(layout.ship_lock())) {
        return Error{Errc::busy, "a tanistd or engine serves " + layout.db +
                                     " under the old key; stop it first"};
    }
    if (node.role == Role::primary) {
        node.epoch = node.epoch.next();
        TANIST_TRY(write_node_file(layout.node(), node));
    }
    return fresh.save(layout.identity());
}

// What to say to people once it is done.
Result<std::string> rotate(const Layout& layout) {
    Result<NodeFile> node = read_node_file(layout.node());
    if (!node) return std::move(node).error();
    Result<File> lock = lock_directory(layout.directory);
    if (!lock) return std::move(lock).error();
    Result<Identity> present = Identity::load(layout.identity());
    if (!present) return std::move(present).error();
    Result<MemberList> list = read_member_list(layout.member_list());
    if (!list) return std::move(list).error();
    if (path_exists(layout.next_identity())) {
        return Error{Errc::refused,
                     "a rotation is going on already: it ends when every member has answered; "
                     "bring them up, or remove those that are gone (tanist members remove)"};
    }
    Result<Identity> fresh = Identity::create();
    if (!fresh) return std::move(fresh).error();
    if (list->version == 0) {
        TANIST_TRY(replace_identity(layout, *fresh, *node));
        return "new key " + to_string(fresh->key());
    }
    TANIST_TRY(fresh->save(layout.next_identity()));
    // A replica that may admit has no members to hand its list to: it asks like any other.
    const bool primary = node->role == Role::primary || node->role == Role::fenced;
    if (primary && list->rights_of(present->key()).has(Right::admit)) {
        Status begun = begin_rotation(*list, present->key(), fresh->key());
        if (begun) {
            sign_list(*list, *present);
            begun = write_member_list(layout.member_list(), *list);
        }
        if (!begun) {
            (void)remove_path(layout.next_identity());
            return std::move(begun).error();
        }
    }
    return "new key " + to_string(fresh->key()) +
           " is announced under the old one; it is used when the members know it";
}

}  // namespace

int run_keys_show(const KeysOptions& options) {
    Result<std::string> db = database_of(options);
    if (!db) return print_error(db.error(), options.json, kExitUsage);
    const Layout layout(*db);
    if (options.clear_alarm) {
        Status cleared = clear_alarm(layout);
        audit_outcome(layout, "keys show --clear-alarm", layout.db, cleared);
        if (!cleared) return print_error(cleared.error(), options.json);
    }
    Result<Identity> identity = Identity::load(layout.identity());
    if (!identity) {
        if (identity.error().code != Errc::not_found) {
            return print_error(identity.error(), options.json);
        }
        return print_error(
            {Errc::not_found, layout.db + " has no identity yet; `tanist init` makes one, "
                                          "and so does tanistd"},
            options.json);
    }
    Result<MemberList> list = read_member_list(layout.member_list());
    if (!list) return print_error(list.error(), options.json);
    Json next;
    if (path_exists(layout.next_identity())) {
        Result<Identity> fresh = Identity::load(layout.next_identity());
        if (fresh) next = to_string(fresh->key());
    }
    const Json keys{{"database", layout.db},
                    {"key", to_string(identity->key())},
                    {"next_key", next},
                    {"addresses", addresses_of(layout, identity->key())},
                    {"alarm", read_alarm(layout)},
                    {"list", list_json(*list)}};
    if (options.json) {
        print_json(keys);
    } else {
        print_keys(keys);
    }
    return kExitDone;
}

// A person's key: an identity like a node's, in a directory that nobody else can enter.
int run_keys_make(const KeysOptions& options) {
    const std::string path = options.directory + "/identity";
    if (path_exists(path)) {
        return print_error({Errc::refused, path + " is there already"}, options.json);
    }
    Status made = make_directory(options.directory);
    Result<FileStat> stat = stat_path(options.directory);
    if (made && stat && (stat->mode & 077) != 0) {
        made =
            Error{Errc::refused, options.directory + " can be entered by others; run: chmod 700 " +
                                     options.directory};
    }
    Result<Identity> fresh = made ? Identity::create() : Result<Identity>(made.error());
    if (fresh) made = fresh->save(path);
    if (!fresh || !made) return print_error(made ? fresh.error() : made.error(), options.json);
    const std::string key = to_string(fresh->key());
    if (options.json) {
        print_json({{"directory", options.directory}, {"key", key}});
    } else {
        print_line(key + "\n  Make it an operator's, on the primary: tanist members add DATABASE " +
                   key + " --operator --name NAME");
    }
    return kExitDone;
}

int run_keys_rotate(const KeysOptions& options) {
    Result<std::string> db = database_of(options);
    if (!db) return print_error(db.error(), options.json, kExitUsage);
    const Layout layout(*db);
    Result<std::string> done = rotate(layout);
    audit_outcome(layout, "keys rotate", layout.db,
                  done ? ok_status() : Status(Error(done.error())));
    if (!done) return print_error(done.error(), options.json);
    if (options.json) {
        print_json({{"database", layout.db}, {"result", *done}});
    } else {
        print_line(*done);
    }
    return kExitDone;
}

}  // namespace tanist
