#include "replicator/control/settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "replicator/base/limits.h"
#include "replicator/control/toml_text.h"

namespace tanist {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kLogBytesFloor = 64u << 10;
constexpr uint64_t kSegmentBytesCeiling = 1u << 30;
constexpr milliseconds kAckTimeoutCeiling = std::chrono::hours(24);
constexpr milliseconds kInviteCeiling = std::chrono::hours(24 * 30);
constexpr milliseconds kIdleExitCeiling = std::chrono::hours(24 * 365);
// sun_path has 108 bytes with its zero.
constexpr size_t kIpcPathBytesMax = 107;

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

const std::array<Row, 18> kRows = {{
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
    {"encrypt_at_rest", Role::unknown, false,
     "Encrypt the log and diverged commits on the disk; the database itself stays as SQLite\n"
     "# writes it.",
     "false", set_encrypt_at_rest},
    {"encrypt_at_rest_key", Role::unknown, false,
     "The key's file, made when it is absent: an absolute path on another disk; by default\n"
     "# log.key beside the log, which protects copies of the log only.",
     "\"\"", set_encrypt_at_rest_key},
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

struct QuantityUnit {
    const char* name;
    uint64_t factor;
};

// A whole number and one of `units`, spaces between them allowed.
template <size_t N>
std::optional<uint64_t> parse_quantity(std::string_view text,
                                       const std::array<QuantityUnit, N>& units) {
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    while (text.starts_with(' ')) text.remove_prefix(1);
    for (const QuantityUnit& unit : units) {
        if (text != unit.name) continue;
        uint64_t product = 0;
        if (__builtin_mul_overflow(number, unit.factor, &product)) return std::nullopt;
        return product;
    }
    return std::nullopt;
}

constexpr std::array<QuantityUnit, 11> kSizeUnits = {{{"", 1},
                                                      {"B", 1},
                                                      {"kB", 1000},
                                                      {"KB", 1000},
                                                      {"MB", 1'000'000},
                                                      {"GB", 1'000'000'000},
                                                      {"TB", 1'000'000'000'000},
                                                      {"KiB", 1ull << 10},
                                                      {"MiB", 1ull << 20},
                                                      {"GiB", 1ull << 30},
                                                      {"TiB", 1ull << 40}}};
constexpr std::array<QuantityUnit, 5> kTimeUnits = {
    {{"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

bool is_port(std::string_view text) {
    if (text == "*") return true;
    unsigned port = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

// Four numbers from 0 to 255.
bool is_ipv4(std::string_view host) {
    for (int part = 0; part < 4; ++part) {
        unsigned number = 0;
        auto [end, error] = std::from_chars(host.data(), host.data() + host.size(), number);
        if (error != std::errc{} || number > 255) return false;
        host.remove_prefix(static_cast<size_t>(end - host.data()));
        if (part == 3) return host.empty();
        if (!host.starts_with('.')) return false;
        host.remove_prefix(1);
    }
    return false;
}

Status check_tcp(const std::string& endpoint, std::string_view address) {
    size_t colon = address.rfind(':');
    if (colon == std::string_view::npos || colon == 0 || !is_port(address.substr(colon + 1))) {
        return wrong(endpoint + " has no port: write tcp://HOST:PORT");
    }
    if (address.substr(0, colon) == "localhost") {
        return wrong(endpoint + ": write 127.0.0.1 or [::1], localhost can mean either");
    }
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

Result<uint64_t> parse_size(const std::string& text) {
    std::optional<uint64_t> bytes = parse_quantity(text, kSizeUnits);
    if (!bytes) {
        return wrong("\"" + text +
                     "\" is not a size: write a whole number and B, kB, MB, GB, KiB, "
                     "MiB or GiB");
    }
    return *bytes;
}

Result<milliseconds> parse_duration(const std::string& text) {
    std::optional<uint64_t> count = parse_quantity(text, kTimeUnits);
    if (!count || *count > static_cast<uint64_t>(INT64_MAX)) {
        return wrong("\"" + text +
                     "\" is not a duration: write a whole number and ms, s, min, h or d");
    }
    return milliseconds(static_cast<int64_t>(*count));
}

Result<LagBound> parse_lag_bound(const std::string& text) {
    constexpr std::array<QuantityUnit, 2> kCommitUnits = {{{"commits", 1}, {"commit", 1}}};
    if (text == "off") return LagBound{};
    LagBound bound;
    if (auto commits = parse_quantity(text, kCommitUnits)) {
        bound = {LagBound::Unit::commits, *commits};
    } else if (auto millis = parse_quantity(text, kTimeUnits)) {
        bound = {LagBound::Unit::milliseconds, *millis};
    } else if (auto bytes = parse_quantity(text, kSizeUnits)) {
        bound = {LagBound::Unit::bytes, *bytes};
    }
    if (bound.amount == 0) {
        return wrong(
            "\"" + text +
            "\" is no bound: write a size (\"10MB\"), a time (\"5s\"), \"1000 commits\", or "
            "\"off\"");
    }
    return bound;
}

Result<milliseconds> parse_ack_timeout(const std::string& text) {
    Result<milliseconds> duration = parse_duration(text);
    if (!duration) return duration;
    if (duration->count() == 0 || *duration > kAckTimeoutCeiling) {
        return wrong(text + " is out of range: between 1ms and 1d");
    }
    return duration;
}

std::string duration_text(milliseconds duration) {
    const uint64_t count = static_cast<uint64_t>(duration.count());
    const QuantityUnit* best = &kTimeUnits.front();
    for (const QuantityUnit& unit : kTimeUnits) {
        if (count != 0 && count % unit.factor == 0) best = &unit;
    }
    return std::to_string(count / best->factor) + best->name;
}

Status check_endpoint(const std::string& endpoint) {
    TANIST_TRY(check_any_endpoint(endpoint));
    if (is_local_endpoint(endpoint)) return ok_status();
    return Error{Errc::refused,
                 endpoint +
                     " is on another machine, which needs keys: run `tanist members add DATABASE` "
                     "with the tanist:// address that the tanistd there prints (`tanist keys "
                     "show` prints it again)"};
}

bool is_local_endpoint(const std::string& endpoint) {
    if (!endpoint.starts_with("tcp://")) return true;
    std::string_view host = std::string_view(endpoint).substr(6);
    host = host.substr(0, host.rfind(':'));
    return host == "[::1]" || (is_ipv4(host) && host.starts_with("127."));
}

Status check_any_endpoint(const std::string& endpoint) {
    std::string_view text = endpoint;
    if (text.starts_with("tcp://")) return check_tcp(endpoint, text.substr(6));
    if (!text.starts_with("ipc://")) {
        return wrong("\"" + endpoint +
                     "\" is not an endpoint: write tcp://127.0.0.1:PORT or ipc:///PATH");
    }
    std::string_view path = text.substr(6);
    if (!path.starts_with('/') || path.size() < 2) {
        return wrong(endpoint + ": the path of an ipc endpoint is absolute: ipc:///run/x.sock");
    }
    if (path.size() > kIpcPathBytesMax) {
        return wrong(endpoint + ": the path of a socket has at most " +
                     std::to_string(kIpcPathBytesMax) + " bytes");
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
