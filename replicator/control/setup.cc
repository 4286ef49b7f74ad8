#include "replicator/control/setup.h"

#include <thread>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "replicator/base/random.h"
#include "replicator/control/identity.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr auto kSetUpPatience = 5s;
constexpr auto kSetUpRetry = 2ms;

Status write_missing_settings(const Layout& layout) {
    if (path_exists(layout.settings())) return ok_status();
    return replace_file(layout.settings(), view_of(default_settings_file()));
}

Result<bool> holds_database(const std::string& path) {
    Result<FileStat> stat = stat_path(path);
    if (stat) return stat->bytes > 0;
    if (stat.error().code == Errc::not_found) return false;
    return std::move(stat).error();
}

// What is written last, so that a set-up that was cut short is begun again.
Result<NodeFile> finish(const Layout& layout, const NodeFile& node) {
    Result<NodeKey> key = load_or_create_identity(layout.identity());
    if (!key) return std::move(key).error();
    TANIST_TRY(write_missing_settings(layout));
    TANIST_TRY(write_node_file(layout.node(), node));
    return node;
}

}  // namespace

Status check_place(const Layout& layout) {
    std::string unsafe = why_file_system_is_unsafe(layout.db);
    if (!unsafe.empty()) return Error{Errc::invalid, unsafe};
    Status made = make_directory(layout.directory);
    if (!made) {
        return Error{Errc::invalid, "Tanist keeps its files in " + layout.directory +
                                        ", which cannot be made: " + made.error().message};
    }
    return ok_status();
}

Result<File> lock_directory(const std::string& directory) {
    Result<File> file = File::open(directory, File::Mode::read);
    if (!file) return std::move(file).error();
    for (auto waited = 0ms; waited < kSetUpPatience; waited += kSetUpRetry) {
        Result<bool> locked = file->try_lock(true);
        if (!locked) return std::move(locked).error();
        if (*locked) return std::move(*file);
        std::this_thread::sleep_for(kSetUpRetry);
    }
    return Error{Errc::busy, directory + " is being set up by another process"};
}

// Two processes that use a database for the first time at once must not give it two group ids.
Result<NodeFile> set_up_primary(const Layout& layout) {
    TANIST_TRY(check_place(layout));
    Result<File> lock = lock_directory(layout.directory);
    if (!lock) return std::move(lock).error();
    Result<NodeFile> node = read_node_file(layout.node());
    if (node && node->role != Role::replica) return node;
    if (node) {
        return Error{Errc::refused, layout.db + " is a replica; writes belong on its primary"};
    }
    if (node.error().code != Errc::not_found) return node;
    NodeFile fresh;
    fresh.role = Role::primary;
    fresh.cluster = random_id<ClusterId>();
    fresh.group = random_id<GroupId>();
    fresh.epoch = Epoch(1);
    return finish(layout, fresh);
}

Result<NodeFile> set_up_replica(const Layout& layout, bool replace) {
    Result<NodeFile> node = read_node_file(layout.node());
    if (node && node->role == Role::replica) return node;
    if (node) {
        return Error{Errc::refused, layout.db +
                                        " is the primary of its cluster and is never "
                                        "overwritten; choose another path"};
    }
    if (node.error().code != Errc::not_found) return node;
    Result<bool> occupied = holds_database(layout.db);
    if (!occupied) return std::move(occupied).error();
    if (*occupied && !replace) {
        return Error{Errc::refused, layout.db +
                                        " holds another database; --replace overwrites it, "
                                        "or choose another path"};
    }
    TANIST_TRY(check_place(layout));
    Result<File> lock = lock_directory(layout.directory);
    if (!lock) return std::move(lock).error();
    NodeFile fresh;
    fresh.role = Role::replica;
    return finish(layout, fresh);
}

Result<NodeFile> set_up_witness(const Layout& layout) {
    Result<NodeFile> node = read_node_file(layout.node());
    if (node && node->role == Role::witness) return node;
    if (node) {
        return Error{Errc::refused, layout.db + " is the " + to_string(node->role) +
                                        " of a cluster; choose another path for a witness"};
    }
    if (node.error().code != Errc::not_found) return node;
    if (path_exists(layout.db)) {
        return Error{Errc::refused, layout.db +
                                        " is there, and a witness has no database; choose another "
                                        "path"};
    }
    TANIST_TRY(check_place(layout));
    Result<File> lock = lock_directory(layout.directory);
    if (!lock) return std::move(lock).error();
    NodeFile fresh;
    fresh.role = Role::witness;
    return finish(layout, fresh);
}

}  // namespace tanist
