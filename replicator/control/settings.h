// <db>-tanist/tanist.toml and its overrides, in the order file < TANIST_* environment < options or
// URI parameters of the same names. A key that is unknown, has the wrong type, or means nothing in
// this role is an error with its file and line.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "replicator/base/notes.h"
#include "replicator/base/result.h"
#include "replicator/control/ack_rule.h"
#include "replicator/control/control_block.h"

namespace tanist {

enum class ShipHost { automatic, daemon, thread };

// Commands that tanistd runs when this node's role has changed; node/hook.h.
struct HookSettings {
    std::string on_promote;  // "": none
    std::string on_demote;
    std::string on_fence;
    std::chrono::milliseconds timeout{5'000};
};

// What the primary's engine does with each closed segment of the log; node/archive.h.
struct ArchiveSettings {
    std::string command;  // "": none
    std::chrono::milliseconds timeout{300'000};
};

// What becomes of a group when its primary is lost. All but the last two are the group's: they
// count where its voters are founded (node/voter_list.h).
struct FailoverSettings {
    bool automatic = false;  // voters and leases; else an operator promotes
    enum class Profile : uint8_t { standard, lan, wan };
    Profile profile = Profile::standard;
    bool writes_only = false;          // lease_mode
    bool release_on_app_exit = false;  // on_app_exit
    uint64_t lag_commits_max = 0;      // max_lag_on_failover; 0: off
    uint16_t priority = 100;           // of this node: the higher, the sooner it asks for votes
    bool nofailover = false;           // this node is never elected without an operator
};

struct Settings {
    std::vector<std::string> replicas;  // endpoints; quick form, joins members of the file
    ShipHost ship = ShipHost::automatic;
    std::vector<std::string> listen;  // tanistd
    std::string advertise;            // what others are told instead of the first of `listen`
    NoteLevel log_level = NoteLevel::info;
    uint64_t log_segment_bytes = 16u << 20;
    uint64_t log_bytes_max = 1u << 30;
    uint64_t wal_bytes_max = 64u << 20;  // the WAL is restarted by the engine beyond this
    std::chrono::milliseconds engine_idle_exit{10'000};
    CommitPolicy commit;  // ack, commit_mode, ack_timeout, on_timeout: where a connection begins
    LagBound max_lag;
    FailoverSettings failover;
    bool curve = false;               // on ipc and loopback too; elsewhere always
    std::optional<bool> status_open;  // nothing: on ipc and loopback without CURVE
    std::chrono::milliseconds invite_expires{3'600'000};
    bool encrypt_at_rest = false;     // new records of the log, staged pages
    std::string http;                 // HOST:PORT of tanistd's HTTP answers; empty: none
    std::string encrypt_at_rest_key;  // its key file; empty: Layout::log_key()
    HookSettings hooks;
    ArchiveSettings archive;
};

// Absent: defaults. A setting that means nothing in `role` is refused; unknown accepts all.
Result<Settings> read_settings(const std::string& toml_path, Role role = Role::unknown);
// Applies one "name=value" of the environment, the command line or a URI.
Status apply_setting(Settings& settings, const std::string& name, const std::string& value);
Status apply_environment(Settings& settings);
// "10MB", "64KiB", "1GiB", "4096"
Result<uint64_t> parse_size(const std::string& text);
// "5s", "250ms", "1h"
Result<std::chrono::milliseconds> parse_duration(const std::string& text);
// "10MB", "5s", "1000 commits", "off"
Result<LagBound> parse_lag_bound(const std::string& text);
// "250ms" to "1d"; more than zero.
Result<std::chrono::milliseconds> parse_ack_timeout(const std::string& text);
// As parse_duration reads it.
std::string duration_text(std::chrono::milliseconds duration);
// tcp://HOST:PORT or ipc://PATH that is connected to without a key. refused: anything but loopback
// or ipc; the message says what to do.
Status check_endpoint(const std::string& endpoint);
// The same without that refusal: where a key protects the connection.
Status check_any_endpoint(const std::string& endpoint);
// ipc or a loopback address. Requires: check_any_endpoint.
bool is_local_endpoint(const std::string& endpoint);
// The file `tanist init` writes: every setting with its default, as comments.
std::string default_settings_file();

}  // namespace tanist
