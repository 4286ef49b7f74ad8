#include "replicator/control/settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "replicator/base/limits.h"
#include "replicator/control/reachable.h"
#include "replicator/control/toml_text.h"

namespace tanist {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kLogBytesFloor = 64u << 10;
constexpr uint64_t kSegmentBytesCeiling = 1u << 30;
constexpr milliseconds kInviteCeiling = std::chrono::hours(24 * 30);
constexpr milliseconds kHookCeiling = std::chrono::minutes(10);
constexpr milliseconds kArchiveCeiling = std::chrono::hours(24);
constexpr size_t kCommandBytesMax = 4096;
constexpr unsigned kPriorityCeiling = 1000;
constexpr milliseconds kIdleExitCeiling = std::chrono::hours(24 * 365);

Error wrong(const std::string& sentence) { return {Errc::invalid, sentence}; }

Status set_size(uint64_t& field, uint64_t least, uint64_t most, const std::string& text) {
    Result<uint64_t> bytes = parse_size(text);
    if (!bytes) return std::move(bytes).error();
    if (*bytes < least || *bytes > most) {
        return wrong(text + " is out of range: between " + std::to_string(least) + " and " +
                     std::to_string(most) + " bytes");
    }
    field = *bytes;
    return ok_status();
}

// With `keyless`, the endpoints are connected to without a key.
Status set_endpoints(std::vector<std::string>& field, const std::string& text, bool keyless) {
    std::vector<std::string> endpoints;
    for (size_t at = 0; at < text.size();) {
        size_t comma = std::min(text.find(',', at), text.size());
        std::string endpoint = text.substr(at, comma - at);
        TANIST_TRY(keyless ? check_endpoint(endpoint) : check_any_endpoint(endpoint));
        if (std::find(endpoints.begin(), endpoints.end(), endpoint) != endpoints.end()) {
            return wrong(endpoint + " is named twice");
        }
        endpoints.push_back(endpoint);
        at = comma + 1;
    }
    if (endpoints.size() > limits::kMembersMax) {
        return wrong("more than " + std::to_string(limits::kMembersMax) + " endpoints");
    }
    field = std::move(endpoints);
    return ok_status();
}

// One row per setting: everything that the file, the environment, the URI and the documentation
// need to know about it. `only` is the role in which it means something; unknown: in both.
struct Row {
    const char* name;
    Role only;
    bool is_list;
    const char* help;
    const char* fallback;  // as it is written in TOML
    Status (*set)(Settings&, const std::string&);
};

Status set_ship(Settings& settings, const std::string& text) {
    if (text == "auto") {
        settings.ship = ShipHost::automatic;
    } else if (text == "daemon") {
        settings.ship = ShipHost::daemon;
    } else if (text == "thread") {
        settings.ship = ShipHost::thread;
    } else {
        return wrong("\"" + text + "\" is none of auto, daemon, thread");
    }
    return ok_status();
}

Status set_log_level(Settings& settings, const std::string& text) {
    std::optional<NoteLevel> level = note_level_of(text);
    if (!level) return wrong("\"" + text + "\" is none of info, warning, error");
    settings.log_level = *level;
    return ok_status();
}

Status set_idle_exit(Settings& settings, const std::string& text) {
    Result<milliseconds> duration = parse_duration(text);
    if (!duration) return std::move(duration).error();
    if (*duration > kIdleExitCeiling) return wrong(text + " is longer than a year");
    settings.engine_idle_exit = *duration;
    return ok_status();
}

// `parse` gives the new value of `field`.
template <class Field, class Parse>
Status set_parsed(Field& field, Parse parse, const std::string& text) {
    auto value = parse(text);
    if (!value) return std::move(value).error();
    field = *value;
    return ok_status();
}

Result<bool> parse_flag(const std::string& text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return wrong("\"" + text + "\" is neither true nor false");
}

Status set_curve(Settings& settings, const std::string& text) {
    Result<bool> flag = parse_flag(text);
    if (!flag) return std::move(flag).error();
    settings.curve = *flag;
    return ok_status();
}

Status set_status_open(Settings& settings, const std::string& text) {
    Result<bool> flag = parse_flag(text);
    if (!flag) return std::move(flag).error();
    settings.status_open = *flag;
    return ok_status();
}

Status set_invite_expires(Settings& settings, const std::string& text) {
    Result<milliseconds> duration = parse_duration(text);
    if (!duration) return std::move(duration).error();
    if (*duration > kInviteCeiling) return wrong(text + " is longer than 30 days");
    settings.invite_expires = *duration;
    return ok_status();
}

Status set_encrypt_at_rest(Settings& settings, const std::string& text) {
    Result<bool> flag = parse_flag(text);
    if (!flag) return std::move(flag).error();
    settings.encrypt_at_rest = *flag;
    return ok_status();
}

Status set_encrypt_at_rest_key(Settings& settings, const std::string& text) {
    if (!text.starts_with('/') && !text.empty()) {
        return wrong("\"" + text + "\" is not an absolute path");
    }
    settings.encrypt_at_rest_key = text;
    return ok_status();
}

Status set_command(std::string& field, const std::string& text) {
    if (text.size() > kCommandBytesMax || text.find('\0') != std::string::npos) {
        return wrong("a command has at most " + std::to_string(kCommandBytesMax) + " bytes");
    }
    field = text;
    return ok_status();
}

Status set_command_timeout(milliseconds& field, milliseconds most, const std::string& text) {
    Result<milliseconds> duration = parse_duration(text);
    if (!duration) return std::move(duration).error();
    if (duration->count() == 0 || *duration > most) {
        return wrong(text + " is out of range: between 1ms and " + duration_text(most));
    }
    field = *duration;
    return ok_status();
}

Status set_archive_command(Settings& settings, const std::string& text) {
    const bool names_it =
        text.find("%p") != std::string::npos || text.find("TANIST_PATH") != std::string::npos;
    if (!text.empty() && !names_it) {
        return wrong("it names the file nowhere: write %p where its path belongs");
    }
    return set_command(settings.archive.command, text);
}

// The text is one of the words that stand for false and true.
Status set_choice(bool& field, const char* no, const char* yes, const std::string& text) {
    if (text != no && text != yes) {
        return wrong("\"" + text + "\" is neither " + no + " nor " + yes);
    }
    field = text == yes;
    return ok_status();
}

Status set_profile(Settings& settings, const std::string& text) {
    using Profile = FailoverSettings::Profile;
    if (text == "default") {
        settings.failover.profile = Profile::standard;
    } else if (text == "lan") {
        settings.failover.profile = Profile::lan;
    } else if (text == "wan") {
        settings.failover.profile = Profile::wan;
    } else {
        return wrong("\"" + text + "\" is none of default, lan, wan");
    }
    return ok_status();
}

Status set_lag_on_failover(Settings& settings, const std::string& text) {
    Result<LagBound> bound = parse_lag_bound(text);
    if (!bound) return std::move(bound).error();
    if (bound->unit != LagBound::Unit::none && bound->unit != LagBound::Unit::commits) {
        return wrong(text + ": what an election may lose is a number of commits, or \"off\"");
    }
    settings.failover.lag_commits_max = bound->amount;
    return ok_status();
}

Status set_advertise(Settings& settings, const std::string& text) {
    if (!text.empty()) TANIST_TRY(check_any_endpoint(text));
    if (is_wildcard(text)) return wrong(text + " is no address that others can connect to");
    settings.advertise = text;
    return ok_status();
}

Status set_priority(Settings& settings, const std::string& text) {
    unsigned priority = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), priority);
    if (error != std::errc{} || end != text.data() + text.size() || priority > kPriorityCeiling) {
        return wrong("\"" + text + "\" is no priority: between 0 and 1000");
    }
    settings.failover.priority = static_cast<uint16_t>(priority);
    return ok_status();
}

const std::array<Row, 33> kRows = {{
    {"replicas", Role::primary, true, "Endpoints of replicas; they join those of `tanist members`.",
     "[]",
     [](Settings& s, const std::string& text) { return set_endpoints(s.replicas, text, true); }},
    {"ship", Role::primary, false,
     "Where the ship engine runs: \"daemon\" (tanistd, started when none runs), \"thread\" "
     "(inside\n"
     "# the application), \"auto\" (the first that works).",
     "\"auto\"", set_ship},
    {"listen", Role::unknown, true,
     "Endpoints that tanistd serves: a replica for its primary, a primary only for status.", "[]",
     [](Settings& s, const std::string& text) { return set_endpoints(s.listen, text, false); }},
    {"advertise", Role::unknown, false,
     "The endpoint that other nodes are told, where they cannot connect to the first of `listen`.",
     "\"\"", set_advertise},
    {"log_level", Role::unknown, false,
     "What the engine and the daemon report: \"info\", \"warning\" or \"error\" and worse.",
     "\"info\"", set_log_level},
    {"log_segment_bytes", Role::unknown, false, "Size of one file of the replication log.",
     "\"16MiB\"",
     [](Settings& s, const std::string& text) {
         return set_size(s.log_segment_bytes, kLogBytesFloor, kSegmentBytesCeiling, text);
     }},
    {"log_bytes_max", Role::unknown, false,
     "The log never holds more than this; a replica that needs older records is brought up to "
     "date\n"
     "# by a delta sync.",
     "\"1GiB\"",
     [](Settings& s, const std::string& text) {
         return set_size(s.log_bytes_max, kLogBytesFloor, INT64_MAX, text);
     }},
    {"wal_bytes_max", Role::primary, false,
     "The engine has SQLite start its WAL anew beyond this size.", "\"64MiB\"",
     [](Settings& s, const std::string& text) {
         return set_size(s.wal_bytes_max, kLogBytesFloor, INT64_MAX, text);
     }},
    {"engine_idle_exit", Role::primary, false,
     "An engine that the extension started leaves after this time without a writer.", "\"10s\"",
     set_idle_exit},
    {"ack", Role::primary, false,
     "What a COMMIT waits for: \"async\", \"received:K\", \"durable:K\", \"applied:K\",\n"
     "# \"durable:majority\". PRAGMA tanist_ack changes it for a connection.",
     "\"async\"",
     [](Settings& s, const std::string& text) {
         return set_parsed(s.commit.rule, parse_ack_rule, text);
     }},
    {"commit_mode", Role::primary, false,
     "\"before_visible\": nobody sees a commit before it is confirmed; \"pipelined\": only the\n"
     "# committer waits.",
     "\"before_visible\"",
     [](Settings& s, const std::string& text) {
         return set_parsed(s.commit.mode, parse_commit_mode, text);
     }},
    {"ack_timeout", Role::unknown, false,
     "How long a COMMIT waits for its confirmation, and `tanist_wait` for its position.", "\"5s\"",
     [](Settings& s, const std::string& text) {
         return set_parsed(s.commit.timeout, parse_ack_timeout, text);
     }},
    {"on_timeout", Role::primary, false,
     "And then: \"fail\" (an error), \"degrade\" (go on without waiting, visibly, until the\n"
     "# replicas have caught up), \"wait\" (for ever).",
     "\"fail\"",
     [](Settings& s, const std::string& text) {
         return set_parsed(s.commit.on_timeout, parse_on_timeout, text);
     }},
    {"max_lag", Role::primary, false,
     "Writers are slowed and then told SQLITE_BUSY when more than this is on no replica: "
     "\"10MB\",\n"
     "# \"5s\", \"1000 commits\", \"off\".",
     "\"off\"",
     [](Settings& s, const std::string& text) {
         return set_parsed(s.max_lag, parse_lag_bound, text);
     }},
    {"curve", Role::unknown, false,
     "Encrypt and authenticate on ipc and loopback endpoints too; elsewhere it is always done.",
     "false", set_curve},
    {"status_open", Role::unknown, false,
     "Whether anybody who reaches an endpoint may ask for the status; by default on ipc and\n"
     "# loopback only.",
     "true", set_status_open},
    {"invite_expires", Role::replica, false,
     "How long the invitation that a new replica prints is good.", "\"1h\"", set_invite_expires},
    {"http", Role::unknown, false,
     "HOST:PORT where tanistd answers HTTP: /metrics, /health, /primary, /replica, /status. On\n"
     "# other than loopback addresses only with status_open.",
     "\"\"",
     [](Settings& s, const std::string& text) {
         s.http = text;
         return ok_status();
     }},
    {"encrypt_at_rest", Role::unknown, false,
     "Encrypt the log, diverged commits and a delta sync's pages on the disk; the database\n"
     "# itself stays as SQLite writes it.",
     "false", set_encrypt_at_rest},
    {"encrypt_at_rest_key", Role::unknown, false,
     "The key's file, made when it is absent: an absolute path on another disk; by default\n"
     "# log.key beside the log, which protects copies of the log only.",
     "\"\"", set_encrypt_at_rest_key},
    {"on_promote", Role::unknown, false,
     "A shell command that tanistd runs when this node has become the primary.", "\"\"",
     [](Settings& s, const std::string& text) { return set_command(s.hooks.on_promote, text); }},
    {"on_demote", Role::unknown, false, "The same when it has become a replica of a new primary.",
     "\"\"",
     [](Settings& s, const std::string& text) { return set_command(s.hooks.on_demote, text); }},
    {"on_fence", Role::unknown, false,
     "The same when it was the primary and refuses writes from now on.", "\"\"",
     [](Settings& s, const std::string& text) { return set_command(s.hooks.on_fence, text); }},
    {"hook_timeout", Role::unknown, false,
     "A hook that runs longer is ended. A change of role never waits for one.", "\"5s\"",
     [](Settings& s, const std::string& text) {
         return set_command_timeout(s.hooks.timeout, kHookCeiling, text);
     }},
    {"archive_command", Role::unknown, false,
     "A shell command that the primary's tanistd runs for each closed file of the log: %p is its\n"
     "# path, %n its name, %e the epoch. \"cp %p /archive/%n\". Tried again until it ends with 0.",
     "\"\"", set_archive_command},
    {"archive_timeout", Role::unknown, false,
     "An archive_command that runs longer is ended, and tried again.", "\"5min\"",
     [](Settings& s, const std::string& text) {
         return set_command_timeout(s.archive.timeout, kArchiveCeiling, text);
     }},
    {"failover", Role::unknown, false,
     "Who replaces a lost primary: \"manual\" (an operator), \"automatic\" (voters elect one, and "
     "the\n"
     "# primary writes only while it holds their lease; needs a tanistd with --listen on each "
     "node).",
     "\"manual\"",
     [](Settings& s, const std::string& text) {
         return set_choice(s.failover.automatic, "manual", "automatic", text);
     }},
    {"failover_profile", Role::unknown, false,
     "How fast: \"default\" (lease 2 s), \"lan\" (600 ms), \"wan\" (8 s).", "\"default\"",
     set_profile},
    {"lease_mode", Role::unknown, false,
     "\"full\", or \"writes_only\": with synchronous commits, elect after three missed "
     "heartbeats;\n"
     "# a lost primary may then serve stale reads for one lease.",
     "\"full\"",
     [](Settings& s, const std::string& text) {
         return set_choice(s.failover.writes_only, "full", "writes_only", text);
     }},
    {"on_app_exit", Role::unknown, false,
     "When no application uses the primary any more: \"keep\" the primacy, or \"release\" it.",
     "\"keep\"",
     [](Settings& s, const std::string& text) {
         return set_choice(s.failover.release_on_app_exit, "keep", "release", text);
     }},
    {"max_lag_on_failover", Role::unknown, false,
     "Of an asynchronous group: how much an election without an operator may lose, \"1000 "
     "commits\"\n"
     "# or \"off\".",
     "\"off\"", set_lag_on_failover},
    {"priority", Role::unknown, false,
     "Of this node: among equals, the higher is elected; 0 to 1000.", "\"100\"", set_priority},
    {"nofailover", Role::unknown, false, "This node is never elected, unless an operator names it.",
     "false",
     [](Settings& s, const std::string& text) {
         return set_parsed(s.failover.nofailover, parse_flag, text);
     }},
}};

const Row* row_of(const std::string& name) {
    auto found =
        std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) { return name == row.name; });
    return found == kRows.end() ? nullptr : &*found;
}

// The text that apply_setting takes.
Result<std::string> text_of(const Row& row, const TomlValue& value) {
    if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
        if (!row.is_list) return wrong("is one value, not a list");
        std::string joined;
        for (const std::string& text : *texts) joined += (joined.empty() ? "" : ",") + text;
        return joined;
    }
    if (row.is_list) return wrong("is a list of strings: [\"...\"]");
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    const std::string_view fallback = row.fallback;
    const bool is_flag = fallback == "true" || fallback == "false";
    if (const auto* flag = std::get_if<bool>(&value); flag != nullptr && is_flag) {
        return std::string(*flag ? "true" : "false");
    }
    if (is_flag) return wrong("is true or false");
    bool is_size = std::string_view(row.name).find("_bytes") != std::string_view::npos;
    if (const auto* number = std::get_if<int64_t>(&value); number != nullptr && is_size) {
        return std::to_string(*number);
    }
    return wrong(is_size ? "is a number of bytes or a \"string\" like \"16MiB\""
                         : "is a \"string\"");
}

Status apply_entry(Settings& settings, const std::string& path, const TomlEntry& entry, Role role) {
    const Row* row = entry.table.empty() ? row_of(entry.key) : nullptr;
    if (row == nullptr) {
        std::string name = entry.table.empty() ? entry.key : entry.table + "." + entry.key;
        return toml_error(path, entry.line, "unknown setting " + name);
    }
    if (role != Role::unknown && row->only != Role::unknown && row->only != role) {
        return toml_error(path, entry.line,
                          entry.key + std::string(" means nothing on a ") +
                              (role == Role::primary ? "primary" : "replica") +
                              "; remove the line");
    }
    Result<std::string> text = text_of(*row, entry.value);
    if (!text) return toml_error(path, entry.line, entry.key + " " + text.error().message);
    Status set = row->set(settings, *text);
    if (!set) return toml_error(path, entry.line, entry.key + ": " + set.error().message);
    return ok_status();
}

}  // namespace

Result<Settings> read_settings(const std::string& toml_path, Role role) {
    Result<std::vector<TomlEntry>> entries = read_toml(toml_path);
    if (!entries) return std::move(entries).error();
    Settings settings;
    for (const TomlEntry& entry : *entries) {
        TANIST_TRY(apply_entry(settings, toml_path, entry, role));
    }
    return settings;
}

Status apply_setting(Settings& settings, const std::string& name, const std::string& value) {
    const Row* row = row_of(name);
    if (row == nullptr) return wrong("unknown setting " + name);
    Status set = row->set(settings, value);
    if (!set) return std::move(set).error().in(name);
    return ok_status();
}

Status apply_environment(Settings& settings) {
    for (const Row& row : kRows) {
        std::string name = "TANIST_";
        for (const char* c = row.name; *c != 0; ++c) {
            name.push_back(*c >= 'a' && *c <= 'z' ? static_cast<char>(*c - 'a' + 'A') : *c);
        }
        const char* value = std::getenv(name.c_str());
        if (value == nullptr) continue;
        Status set = row.set(settings, value);
        if (!set) return std::move(set).error().in("environment variable " + name);
    }
    return ok_status();
}

std::string default_settings_file() {
    std::string text =
        "# Settings of this database on this node. A line without # is in force; the environment\n"
        "# (TANIST_NAME) and options or URI parameters of the same names go before this file.\n";
    for (const Row& row : kRows) {
        text += "\n# " + std::string(row.help);
        if (row.only != Role::unknown) {
            text += row.only == Role::primary ? " (primary)" : " (replica)";
        }
        text += "\n#" + std::string(row.name) + " = " + row.fallback + "\n";
    }
    return text;
}

}  // namespace tanist
