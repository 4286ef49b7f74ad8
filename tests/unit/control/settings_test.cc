#include "replicator/control/settings.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include "replicator/base/bytes.h"
#include "replicator/base/file.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

struct SettingsFile {
    TempDir dir;
    std::string path = dir.path("tanist.toml");
    Result<Settings> read(const std::string& text, Role role = Role::unknown) {
        REQUIRE(replace_file(path, view_of(text)).ok());
        return read_settings(path, role);
    }
    std::string complaint(const std::string& text, Role role = Role::unknown) {
        Result<Settings> settings = read(text, role);
        REQUIRE_FALSE(settings.ok());
        CHECK(settings.error().code == Errc::invalid);
        // Relative to the file, so that the tests can write the line.
        REQUIRE(settings.error().message.starts_with(path + ":"));
        return settings.error().message.substr(path.size() + 1);
    }
};

bool starts(const std::string& text, const std::string& with) { return text.starts_with(with); }

}  // namespace

TEST_CASE("settings: an absent file means the defaults") {
    TempDir dir;
    Result<Settings> settings = read_settings(dir.path("none"));
    REQUIRE(settings.ok());
    CHECK(settings->ship == ShipHost::automatic);
    CHECK(settings->log_bytes_max == 1u << 30);
}

TEST_CASE("settings: a wildcard is nothing to tell others") {
    SettingsFile file;
    CHECK(file.complaint("advertise = \"tcp://0.0.0.0:7400\"\n").find("no address") !=
          std::string::npos);
}

TEST_CASE("settings: every key is read") {
    SettingsFile file;
    Result<Settings> settings = file.read(R"(
replicas = ["tcp://127.0.0.1:7401", "ipc:///run/b.sock"]
ship = "thread"
listen = []
advertise = "tcp://db1.example:7400"
log_level = "error"
log_segment_bytes = "1MiB"
log_bytes_max = 4000000
wal_bytes_max = "10MB"
engine_idle_exit = "2min"
ack = "durable:2"
commit_mode = "pipelined"
ack_timeout = "250ms"
on_timeout = "degrade"
max_lag = "1000 commits"
on_promote = "move-address"
on_demote = "true"
on_fence = "page 'me'"
hook_timeout = "20s"
archive_command = "cp %p /archive/%n"
archive_timeout = "1h"
)");
    REQUIRE(settings.ok());
    CHECK(settings->replicas.size() == 2);
    CHECK(settings->ship == ShipHost::thread);
    CHECK(settings->log_level == NoteLevel::error);
    CHECK(settings->log_segment_bytes == 1u << 20);
    CHECK(settings->log_bytes_max == 4'000'000);
    CHECK(settings->wal_bytes_max == 10'000'000);
    CHECK(settings->engine_idle_exit == std::chrono::minutes(2));
    CHECK(to_string(settings->commit.rule) == "durable:2");
    CHECK(settings->commit.mode == CommitMode::pipelined);
    CHECK(settings->commit.timeout == std::chrono::milliseconds(250));
    CHECK(settings->commit.on_timeout == OnTimeout::degrade);
    CHECK(settings->max_lag == LagBound{LagBound::Unit::commits, 1000});
    CHECK(settings->hooks.on_promote == "move-address");
    CHECK(settings->hooks.on_demote == "true");
    CHECK(settings->hooks.on_fence == "page 'me'");
    CHECK(settings->hooks.timeout == std::chrono::seconds(20));
    CHECK(settings->archive.command == "cp %p /archive/%n");
    CHECK(settings->archive.timeout == std::chrono::hours(1));
}

TEST_CASE("settings: an archive_command that does not name the file is refused") {
    SettingsFile file;
    CHECK(starts(file.complaint("archive_command = \"rsync /db /archive\"\n"),
                 "1: archive_command: it names the file nowhere"));
    CHECK(file.read("archive_command = 'cp \"$TANIST_PATH\" /archive'\n").ok());
    CHECK(starts(file.complaint("archive_timeout = \"0s\"\n"), "1: archive_timeout: 0s"));
}

TEST_CASE("settings: an unknown key names its line") {
    SettingsFile file;
    CHECK(file.complaint("\nship = \"auto\"\nshipp = 1\n") == "3: unknown setting shipp");
    CHECK(file.complaint("[log]\nsize = 1\n") == "2: unknown setting log.size");
}

TEST_CASE("settings: a wrong type names its line and the right one") {
    SettingsFile file;
    CHECK(starts(file.complaint("replicas = \"tcp://127.0.0.1:1\"\n"),
                 "1: replicas is a list of strings"));
    CHECK(starts(file.complaint("\nship = 3\n"), "2: ship is a \"string\""));
    CHECK(starts(file.complaint("log_bytes_max = true\n"), "1: log_bytes_max is a number"));
    CHECK(starts(file.complaint("ship = [\"a\"]\n"), "1: ship is one value"));
    CHECK(starts(file.complaint("ship = 1.5\n"), "1: ship: a value is"));
}

TEST_CASE("settings: text that is no TOML names its line") {
    SettingsFile file;
    CHECK(starts(file.complaint("ship = \"auto\"\nlisten = [\n"), "2:"));
    CHECK(starts(file.complaint("ship = \"auto\"\nship = \"auto\"\n"), "2:"));
}

TEST_CASE("settings: a key that means nothing in this role is refused") {
    SettingsFile file;
    CHECK(starts(file.complaint("\nreplicas = []\n", Role::replica),
                 "2: replicas means nothing on a replica"));
    CHECK(starts(file.complaint("ship = \"auto\"\n", Role::replica),
                 "1: ship means nothing on a replica"));
    CHECK(file.read("replicas = []\n", Role::primary).ok());
    CHECK(file.read("log_level = \"info\"\n", Role::replica).ok());
}

TEST_CASE("settings: the file that init writes is accepted, also with every line switched on") {
    SettingsFile file;
    std::string text = default_settings_file();
    CHECK(file.read(text).ok());
    std::string on;
    for (size_t at = 0; at < text.size();) {
        size_t end = text.find('\n', at) + 1;
        std::string line = text.substr(at, end - at);
        on += line.size() > 1 && line[0] == '#' && line[1] != ' ' ? line.substr(1) : line;
        at = end;
    }
    Result<Settings> settings = file.read(on);
    REQUIRE(settings.ok());
    // The defaults that the file shows are the defaults of the code.
    Settings fallback;
    CHECK(settings->log_segment_bytes == fallback.log_segment_bytes);
    CHECK(settings->log_bytes_max == fallback.log_bytes_max);
    CHECK(settings->wal_bytes_max == fallback.wal_bytes_max);
    CHECK(settings->engine_idle_exit == fallback.engine_idle_exit);
    CHECK(settings->log_level == fallback.log_level);
    CHECK(settings->ship == fallback.ship);
}

TEST_CASE("settings: the environment goes before the file") {
    Settings settings;
    REQUIRE(setenv("TANIST_REPLICAS", "tcp://127.0.0.1:7401,tcp://127.0.0.1:7402", 1) == 0);
    CHECK(apply_environment(settings).ok());
    CHECK(settings.replicas.size() == 2);
    REQUIRE(setenv("TANIST_REPLICAS", "nonsense", 1) == 0);
    Status bad = apply_environment(settings);
    REQUIRE(unsetenv("TANIST_REPLICAS") == 0);
    REQUIRE_FALSE(bad.ok());
    CHECK(starts(bad.error().message, "environment variable TANIST_REPLICAS"));
}

TEST_CASE("settings: sizes") {
    CHECK(parse_size("4096").value() == 4096);
    CHECK(parse_size("64KiB").value() == 65536);
    CHECK(parse_size("10 MB").value() == 10'000'000);
    CHECK(parse_size("1GiB").value() == 1u << 30);
    for (const char* bad :
         {"", "-1", "1.5MB", "10 parsecs", "99999999999999999999", "99999999999TiB", "MiB"}) {
        CHECK_FALSE(parse_size(bad).ok());
    }
}

TEST_CASE("settings: durations") {
    CHECK(parse_duration("250ms").value() == std::chrono::milliseconds(250));
    CHECK(parse_duration("1h").value() == std::chrono::hours(1));
    CHECK_FALSE(parse_duration("5").ok());
    CHECK_FALSE(parse_duration("18446744073709551615ms").ok());
}

TEST_CASE("settings: endpoints on this machine are accepted") {
    for (const char* good : {"tcp://127.0.0.1:7401", "tcp://127.0.0.1:*", "tcp://127.8.9.1:65535",
                             "tcp://[::1]:7401", "ipc:///run/x.sock"}) {
        CHECK_MESSAGE(check_endpoint(good).ok(), good);
    }
}

TEST_CASE("settings: endpoints that others can reach are refused, with the way out") {
    for (const char* open : {"tcp://0.0.0.0:7400", "tcp://*:7400", "tcp://10.0.0.1:7400",
                             "tcp://host.example:1", "tcp://[::]:1", "tcp://127.evil.example:1"}) {
        Status checked = check_endpoint(open);
        REQUIRE_FALSE(checked.ok());
        CHECK_MESSAGE(checked.error().code == Errc::refused, open);
        CHECK(checked.error().message.find("tanist members add") != std::string::npos);
        CHECK_MESSAGE(check_any_endpoint(open).ok(), open);
        CHECK_FALSE(is_local_endpoint(open));
    }
}

TEST_CASE("settings: text that is no endpoint is invalid") {
    for (const char* bad : {"", "7401", "http://127.0.0.1:1", "tcp://127.0.0.1", "tcp://:1",
                            "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:1x",
                            "ipc://relative", "ipc:///", "tcp://localhost:1"}) {
        Status checked = check_endpoint(bad);
        REQUIRE_FALSE(checked.ok());
        CHECK_MESSAGE(checked.error().code == Errc::invalid, bad);
    }
}

TEST_CASE("settings: a bound on the lag is a size, a time or a number of commits") {
    CHECK(*parse_lag_bound("10MB") == LagBound{LagBound::Unit::bytes, 10'000'000});
    CHECK(*parse_lag_bound("5s") == LagBound{LagBound::Unit::milliseconds, 5000});
    CHECK(*parse_lag_bound("1 commit") == LagBound{LagBound::Unit::commits, 1});
    CHECK(*parse_lag_bound("off") == LagBound{});
    for (const char* text : {"", "0", "0s", "fast", "5 seconds", "-1"}) {
        CHECK_FALSE(parse_lag_bound(text).ok());
    }
}

TEST_CASE("settings: a wait for a confirmation is bounded, and written as it is read") {
    CHECK_FALSE(parse_ack_timeout("0s").ok());
    CHECK_FALSE(parse_ack_timeout("2d").ok());
    for (const char* text : {"1ms", "1500ms", "5s", "1min", "1d"}) {
        CHECK(duration_text(*parse_ack_timeout(text)) == text);
    }
}
