#include "failover/commands.h"
#include "failover/output.h"
#include "replicator/base/file.h"
#include "replicator/control/setup.h"
#include "replicator/wal/sqlite_handle.h"

namespace tanist {
namespace {

// Opened once through SQLite: proves that it is a database, and leaves it in WAL mode.
Status prepare_database(const InitOptions& options, const Layout& layout) {
    if (!path_exists(layout.db) && !options.create) {
        return Error{Errc::not_found, layout.db +
                                          " does not exist; let the application make it "
                                          "first, or say --create"};
    }
    SqliteHandle::Options how;
    how.create = options.create;
    how.switch_to_wal = true;
    Result<std::unique_ptr<SqliteHandle>> handle =
        SqliteHandle::open(linked_sqlite(), layout.db, how);
    if (!handle) return std::move(handle).error();
    return ok_status();
}

}  // namespace

int run_init(const InitOptions& options) {
    const Layout layout(options.db);
    Result<NodeFile> before = read_node_file(layout.node());
    if (before && before->role == Role::replica) {
        return print_error({Errc::refused, layout.db + " is a replica; run this on its primary"},
                           options.json);
    }
    std::string unsafe = why_file_system_is_unsafe(layout.db);
    if (!unsafe.empty()) return print_error({Errc::invalid, unsafe}, options.json);
    Status prepared = prepare_database(options, layout);
    if (!prepared) return print_error(prepared.error(), options.json);
    Result<NodeFile> node = set_up_primary(layout);
    if (!node) return print_error(node.error(), options.json);
    if (options.json) {
        print_json({{"database", layout.db},
                    {"role", "primary"},
                    {"epoch", node->epoch.value},
                    {"cluster", to_string(node->cluster)},
                    {"group", to_string(node->group)},
                    {"directory", layout.directory},
                    {"already", before.ok()}});
        return kExitDone;
    }
    print_line(layout.db + (before.ok() ? " was set up already" : " is set up as a primary"));
    print_line("  cluster    " + to_string(node->cluster));
    print_line("  settings   " + layout.settings());
    print_line("Next: start `tanistd --db REPLICA.db --listen tcp://127.0.0.1:7401`, then run");
    print_line("  tanist members add " + options.db + " tcp://127.0.0.1:7401");
    return kExitDone;
}

}  // namespace tanist
