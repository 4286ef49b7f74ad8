// The daemon: a replica, or the engine of a primary, of one database until a signal or a fatal
// error ends it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "replicator/base/clock.h"
#include "replicator/base/death_notice.h"
#include "replicator/base/exit_code.h"
#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "replicator/control/settings.h"
#include "replicator/control/setup.h"
#include "replicator/control/status.h"
#include "replicator/control/toml_text.h"
#include "replicator/http/http_server.h"
#include "replicator/node/daemonize.h"
#include "replicator/node/node.h"
#include "replicator/node/ship_lock.h"
#include "replicator/wal/sqlite_api.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr auto kDrainPatience = 10s;
constexpr Nanos kTurnLookEvery = 50ms;
constexpr Nanos kTurnPatience = kDrainPatience + 5s;

constexpr const char* kFooter = R"(
What it becomes follows from the database: a path that holds nothing, or a replica, is served as a
replica and needs --listen; a database that `tanist init` or the extension made a primary gets its
engine, which connects to the members. With --listen it answers `tanist status` there, too.

Examples:
  tanistd --db replica.db --listen tcp://127.0.0.1:7401
  tanistd --db replica.db --listen ipc:///run/tanist/replica.sock
  tanistd --db replica.db --listen tcp://0.0.0.0:7400       (prints how to add it)
  tanistd --db replica.db --listen 'tcp://127.0.0.1:*'      (prints the port it got)
  tanistd --db app.db                                       (the engine of a primary)
  tanistd --db app.db --listen tcp://0.0.0.0:7400 --failover automatic
  tanistd --db w.db --witness --listen tcp://0.0.0.0:7400   (votes, holds no data)
  tanistd --config /etc/tanist/app.toml

SIGTERM and SIGINT finish what has arrived and exit with 0.

Exit codes: 0 stopped by a signal, or (--engine) no longer needed; 1 failed; 2 wrong usage or
settings; 3 refused for safety.)";

// Options that are settings of the same name: --log-bytes-max is log_bytes_max.
struct SettingOption {
    const char* option;
    const char* setting;
    const char* help;
};
constexpr std::array<SettingOption, 24> kSettingOptions = {{
    {"--log-level", "log_level", "info, warning or error"},
    {"--log-segment-bytes", "log_segment_bytes", "size of one file of the log"},
    {"--log-bytes-max", "log_bytes_max", "most that the log may hold"},
    {"--wal-bytes-max", "wal_bytes_max", "the WAL is started anew beyond this (primary)"},
    {"--engine-idle-exit", "engine_idle_exit", "an engine leaves after this time unused"},
    {"--curve", "curve", "true: keys on ipc and loopback, too"},
    {"--status-open", "status_open", "whether anybody may ask for the status"},
    {"--invite-expires", "invite_expires", "how long a new replica's invitation is good"},
    {"--http", "http", "HOST:PORT: answer /metrics, /health, /primary, /replica, /status there"},
    {"--encrypt-at-rest", "encrypt_at_rest", "true: seal the log and a sync's pages on the disk"},
    {"--encrypt-at-rest-key", "encrypt_at_rest_key", "absolute path of their key's file"},
    {"--on-promote", "on_promote", "run this when the node has become the primary"},
    {"--on-demote", "on_demote", "run this when it has become a replica"},
    {"--on-fence", "on_fence", "run this when it refuses writes from now on"},
    {"--hook-timeout", "hook_timeout", "end a hook that runs longer"},
    {"--archive-command", "archive_command", "run this for each closed file of the log (%p, %n)"},
    {"--archive-timeout", "archive_timeout", "end one that runs longer, and try again"},
    {"--failover", "failover", "manual or automatic"},
    {"--failover-profile", "failover_profile", "default, lan or wan"},
    {"--lease-mode", "lease_mode", "full or writes_only"},
    {"--on-app-exit", "on_app_exit", "keep or release"},
    {"--max-lag-on-failover", "max_lag_on_failover", "what an election may lose: \"1000 commits\""},
    {"--priority", "priority", "of this node in elections, 0 to 1000"},
    {"--nofailover", "nofailover", "true: this node is never elected"},
}};

struct Arguments {
    std::string db;
    std::string config;
    std::vector<std::string> listen;
    std::vector<std::string> replicas;
    std::array<std::string, kSettingOptions.size()> settings;
    bool engine = false;
    bool replace = false;
    bool witness = false;
};

int fail(const Error& error, int code) {
    std::fprintf(stderr, "tanistd: %s\n", error.message.c_str());
    return code;
}
int fail(const Error& error) { return fail(error, exit_code_of(error)); }

std::string join(const std::vector<std::string>& texts) {
    std::string joined;
    for (const std::string& text : texts) joined += (joined.empty() ? "" : ",") + text;
    return joined;
}

void define_options(CLI::App& app, Arguments& arguments) {
    app.add_option("--db", arguments.db, "the database")->type_name("PATH");
    app.add_option("--listen", arguments.listen, "serve here (repeatable)")->type_name("ENDPOINT");
    app.add_option("--replicas", arguments.replicas, "replicas of this primary")
        ->type_name("ENDPOINT")
        ->delimiter(',');
    app.add_option("--config", arguments.config, "take database and settings from here")
        ->type_name("FILE");
    app.add_flag("--replace", arguments.replace,
                 "make a replica of a path that holds another database, which is overwritten");
    app.add_flag("--witness", arguments.witness,
                 "a voter without data: PATH is never made, PATH-tanist/ is its directory");
    app.add_flag("--engine", arguments.engine,
                 "as the extension starts it: in the background, until nobody needs it");
    for (size_t i = 0; i < kSettingOptions.size(); ++i) {
        app.add_option(kSettingOptions[i].option, arguments.settings[i], kSettingOptions[i].help)
            ->type_name("VALUE");
    }
    app.set_version_flag("--version", std::string("tanistd ") + TANIST_VERSION);
    app.footer(kFooter);
}

// The [[database]] of --config: `path`, and settings by name. Values that are lists are joined, as
// apply_setting takes them.
Status read_config(const std::string& path, Arguments& arguments, Settings& settings) {
    if (!path_exists(path)) return Error{Errc::not_found, path + " does not exist"};
    Result<std::vector<TomlEntry>> entries = read_toml(path);
    if (!entries) return std::move(entries).error();
    for (const TomlEntry& entry : *entries) {
        if (entry.table != "database") {
            return toml_error(path, entry.line, "only [[database]] tables belong here");
        }
        if (entry.table_index > 0) {
            return toml_error(path, entry.line,
                              "this version serves one database in each tanistd; start another "
                              "tanistd for the second [[database]]");
        }
        std::string value;
        if (const auto* list = std::get_if<std::vector<std::string>>(&entry.value)) {
            value = join(*list);
        } else if (const auto* text = std::get_if<std::string>(&entry.value)) {
            value = *text;
        } else if (const auto* number = std::get_if<int64_t>(&entry.value)) {
            value = std::to_string(*number);
        } else {
            value = std::get<bool>(entry.value) ? "true" : "false";
        }
        if (entry.key == "path") {
            arguments.db = value;
            continue;
        }
        Status set = apply_setting(settings, entry.key, value);
        if (!set) return toml_error(path, entry.line, set.error().message);
    }
    if (arguments.db.empty()) return Error{Errc::invalid, path + " names no database"};
    return ok_status();
}

Status apply_options(const Arguments& arguments, Settings& settings) {
    if (!arguments.listen.empty()) {
        TANIST_TRY(apply_setting(settings, "listen", join(arguments.listen)));
    }
    if (!arguments.replicas.empty()) {
        TANIST_TRY(apply_setting(settings, "replicas", join(arguments.replicas)));
    }
    for (size_t i = 0; i < kSettingOptions.size(); ++i) {
        if (arguments.settings[i].empty()) continue;
        TANIST_TRY(apply_setting(settings, kSettingOptions[i].setting, arguments.settings[i]));
    }
    return ok_status();
}

// Settings in their order of precedence: file of the database < --config < environment < options.
Result<Settings> gather_settings(const Layout& layout, Role role, Arguments& arguments) {
    Result<Settings> settings = read_settings(layout.settings(), role);
    if (!settings) return settings;
    if (!arguments.config.empty()) {
        TANIST_TRY(read_config(arguments.config, arguments, *settings));
    }
    TANIST_TRY(apply_environment(*settings));
    TANIST_TRY(apply_options(arguments, *settings));
    return settings;
}

void say_ready(const std::string& sentence) {
    std::printf("tanistd: %s\n", sentence.c_str());
    std::fflush(stdout);
}

int run_until_stopped(Node& node, int stop_fd, bool may_end_itself) {
    node.wait_finished(stop_fd);
    std::string reason;
    const bool ended_itself = node.finished(&reason);
    node.stop(kDrainPatience);
    note(NoteLevel::info, "stopped", {{"reason", ended_itself ? reason : "asked by a signal"}});
    return ended_itself && !may_end_itself ? kExitFailed : kExitDone;
}

// Null: not asked for.
Result<std::unique_ptr<HttpServer>> serve_http(const Layout& layout, const Settings& settings) {
    if (settings.http.empty()) return std::unique_ptr<HttpServer>();
    if (!is_local_endpoint("tcp://" + settings.http) && settings.status_open != true) {
        return Error{Errc::refused,
                     "--http " + settings.http +
                         " would show the status to everybody who reaches this machine; use "
                         "127.0.0.1, or add --status-open true"};
    }
    return HttpServer::start(settings.http, [layout] { return status_json(layout); });
}

// Whether the holder of the lock leaves nothing for another engine to do: it is one at work, or a
// daemon that became a replica or waits for its voters.
bool holder_suffices(const Layout& layout, const ControlBlock& control) {
    const auto role = static_cast<Role>(control.role.load(std::memory_order_acquire));
    return engine_sign(control) == EngineSign::at_work || role == Role::replica ||
           role == Role::witness || path_exists(layout.voters());
}

// Until nobody has the lock. False: another engine is not needed. One that was killed keeps the
// lock for as long as its end takes, one that drains for less than a known time; a daemon that
// keeps it for longer has other plans.
Result<bool> wait_for_turn(const Layout& layout, int stop_fd) {
    Result<Control> control = Control::open(layout.control(), true, false);
    if (!control) return std::move(control).error();
    const Instant give_up = boot_now() + kTurnPatience;
    Nanos pause = 1ms;
    while (engine_lives(layout.ship_lock())) {
        if (holder_suffices(layout, **control)) return false;
        const bool dying = life_sign((*control)->engine_life.load()) == LifeSign::died;
        if (!dying && boot_now() >= give_up) return false;
        if (wait_readable(stop_fd, pause)) return false;
        pause = std::min(pause * 2, kTurnLookEvery);
    }
    Result<NodeFile> node = read_node_file(layout.node());
    return node.ok() && (node->role == Role::primary || node->role == Role::fenced);
}

// As the extension starts it: several applications may start one at once. Null: not needed.
Result<std::unique_ptr<Node>> start_in_turn(const Layout& layout, const NodeOptions& options,
                                            int stop_fd) {
    std::string reason = "another one is at work, or none is needed any more";
    for (;;) {
        Result<bool> turn = wait_for_turn(layout, stop_fd);
        if (!turn) return std::move(turn).error();
        if (!*turn) break;
        Result<std::unique_ptr<Node>> node = Node::start(linked_sqlite(), options);
        if (node || node.error().code != Errc::refused) return node;
        // Somebody was quicker, who may be killed before it works; or this is no matter of turns.
        if (engine_lives(layout.ship_lock())) continue;
        reason = node.error().message;
        break;
    }
    note(NoteLevel::info, "an engine that is not needed ends", {{"reason", reason}});
    return std::unique_ptr<Node>();
}

int serve_node(const Layout& layout, const Arguments& arguments, const Settings& settings,
               int stop_fd, std::optional<PlaceInLine> place) {
    NodeOptions options;
    options.db_path = layout.db;
    options.settings = settings;
    options.replace = arguments.replace;
    options.leave_when_idle = arguments.engine;
    Result<std::unique_ptr<Node>> node = arguments.engine ? start_in_turn(layout, options, stop_fd)
                                                          : Node::start(linked_sqlite(), options);
    if (!node) return fail(node.error());
    if (*node == nullptr) return kExitDone;
    place.reset();
    Result<std::unique_ptr<HttpServer>> http = serve_http(layout, settings);
    if (!http) return fail(http.error());
    const std::string endpoints = join((*node)->endpoints());
    const Role serves = (*node)->role();
    if (serves == Role::replica || serves == Role::witness) {
        say_ready(std::string(to_string(serves)) + " " + layout.db + " ready on " + endpoints);
        for (const std::string& address : (*node)->invitations()) {
            say_ready(
                "it waits to be added; run this on its primary, the secret is good once:\n"
                "  tanist members add DATABASE '" +
                address + (serves == Role::witness ? "' --witness" : "'"));
        }
    } else {
        say_ready("engine of " + layout.db + " ready, process " + std::to_string(process_id()) +
                  (endpoints.empty() ? "" : ", on " + endpoints));
    }
    if (*http) say_ready("HTTP on " + (*http)->address());
    return run_until_stopped(**node, stop_fd, arguments.engine);
}

// Role::unknown: the path holds nothing of Tanist's.
Result<NodeFile> node_of(const Layout& layout) {
    Result<NodeFile> node = read_node_file(layout.node());
    if (node || node.error().code != Errc::not_found) return node;
    return NodeFile{};
}

// Which role's settings may be given. A node of a cluster may change its role, so it may have those
// of both.
Role role_of_settings(const NodeFile& node) {
    if (node.role == Role::replica && !node.cluster.is_zero()) return Role::unknown;
    const bool holds_nothing_yet =
        node.role == Role::unknown || node.role == Role::replica || node.role == Role::witness;
    return holds_nothing_yet ? Role::replica : Role::primary;
}

// What contradicts the role is refused before anything is written.
std::optional<Error> why_unfit(const Layout& layout, const NodeFile& node,
                               const Arguments& arguments, const Settings& settings) {
    const Role role = node.role;
    if (arguments.witness != (role == Role::witness) && role != Role::unknown) {
        return Error{Errc::refused,
                     layout.db + " is " + (arguments.witness ? "no witness but a " : "a ") +
                         to_string(role) + (arguments.witness ? "" : "; serve it with --witness")};
    }
    if (role == Role::primary || role == Role::fenced) {
        if (arguments.replace) {
            return Error{Errc::refused, layout.db +
                                            " is the primary of its cluster and is never "
                                            "overwritten; choose another path"};
        }
        return std::nullopt;
    }
    if (arguments.engine) {
        return Error{Errc::refused, layout.db + (role == Role::replica
                                                     ? " is a replica; it is served with --listen"
                                                     : " is not set up for replication; run: "
                                                       "tanist init " +
                                                           layout.db)};
    }
    if (settings.listen.empty()) {
        return Error{Errc::invalid,
                     role == Role::replica
                         ? "where can its primary reach it? give --listen tcp://127.0.0.1:PORT"
                         : layout.db +
                               " is neither primary nor replica yet: `tanist init` makes a "
                               "primary of it, --listen ENDPOINT a replica"};
    }
    if (!arguments.replicas.empty() && role_of_settings(node) == Role::replica) {
        return Error{Errc::invalid, "--replicas is for a primary, and " + layout.db +
                                        " is none; `tanist init` makes it one"};
    }
    return std::nullopt;
}

int serve(Arguments& arguments) {
    if (!arguments.config.empty() && arguments.db.empty()) {
        Settings ignored;
        Status named = read_config(arguments.config, arguments, ignored);
        if (!named) return fail(named.error(), kExitUsage);
    }
    if (arguments.db.empty()) {
        return fail({Errc::invalid, "which database? give --db PATH (see --help)"}, kExitUsage);
    }
    const Layout layout(arguments.db);
    Result<NodeFile> node = node_of(layout);
    if (!node) return fail(node.error());
    Result<Settings> settings = gather_settings(layout, role_of_settings(*node), arguments);
    if (!settings) {
        const bool unsafe = settings.error().code == Errc::refused;
        return fail(settings.error(), unsafe ? kExitRefused : kExitUsage);
    }
    set_note_level(settings->log_level);
    if (std::optional<Error> unfit = why_unfit(layout, *node, arguments, *settings)) {
        return fail(*unfit, unfit->code == Errc::refused ? kExitRefused : kExitUsage);
    }
    if (node->role == Role::unknown) {
        Result<NodeFile> made =
            arguments.witness ? set_up_witness(layout) : set_up_replica(layout, arguments.replace);
        if (!made) return fail(made.error());
    }
    std::optional<PlaceInLine> place;
    if (arguments.engine) {
        // Before the process that was started ends: whoever started it can see it from then on.
        Result<std::optional<PlaceInLine>> taken = PlaceInLine::take(layout.ship_lock());
        if (!taken) return fail(taken.error());
        if (!*taken) return kExitDone;
        place = std::move(*taken);
        Result<bool> detached = detach(layout.engine_log(), place->fd());
        if (!detached) return fail(detached.error());
        if (!*detached) return kExitDone;
    }
    Result<int> stop_fd = open_stop_signals();
    if (!stop_fd) return fail(stop_fd.error());
    return serve_node(layout, arguments, *settings, *stop_fd, std::move(place));
}

}  // namespace
}  // namespace tanist

int main(int argc, char** argv) {
    tanist::Arguments arguments;
    CLI::App app(
        "Tanist daemon: keeps a live replica of an SQLite database, or ships a primary's "
        "commits to its replicas.",
        "tanistd");
    tanist::define_options(app, arguments);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? tanist::kExitDone : tanist::kExitUsage;
    }
    return tanist::serve(arguments);
}
