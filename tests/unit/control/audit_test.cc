#include "replicator/control/audit.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "replicator/base/file.h"
#include "replicator/control/alarm.h"
#include "replicator/control/toml_text.h"
#include "tests/support/temp_dir.h"

using namespace tanist;

namespace {

std::vector<nlohmann::json> lines_of(const std::string& path) {
    std::ifstream file(path);
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

struct Place {
    TempDir dir;
    Layout layout{dir.path("app.db")};
    Place() { REQUIRE(make_directory(layout.directory).ok()); }
};

}  // namespace

TEST_CASE("audit: each command is one line of JSON, whatever is in it") {
    Place place;
    audit_outcome(place.layout, "members add", "x\n{\"y\":\"\xff", ok_status());
    audit_outcome(place.layout, "members remove", "b", Error{Errc::not_found, "no such member"});
    const std::vector<nlohmann::json> lines = lines_of(place.layout.audit_log());
    REQUIRE(lines.size() == 2);
    CHECK(lines[0]["what"] == "members add");
    CHECK(lines[0]["result"] == "done");
    CHECK(lines[0]["who"] == local_user());
    CHECK(lines[1]["result"] == "no such member");
    CHECK((stat_path(place.layout.audit_log()).value().mode & 0777) == 0600);
}

TEST_CASE("audit: the log is bounded by turning it over") {
    Place place;
    const std::string path = place.layout.audit_log();
    std::ofstream(path) << std::string(kAuditBytesMax, '\n');
    audit_outcome(place.layout, "keys rotate", "", ok_status());
    CHECK(lines_of(path).size() == 1);
    CHECK(stat_path(path + ".1").value().bytes == kAuditBytesMax);
}

TEST_CASE("audit: time is written as UTC") {
    CHECK(audit_line({"w", "a", "t", "done"}, 1'700'000'000'000'000'000) ==
          "{\"time\":\"2023-11-14T22:13:20Z\",\"who\":\"w\",\"what\":\"a\",\"target\":\"t\","
          "\"result\":\"done\"}\n");
}

TEST_CASE("alarm: it stands until it is cleared, and is in the audit log") {
    Place place;
    CHECK(read_alarm(place.layout) == "");
    raise_alarm(place.layout, "key abc", "an invitation was used twice");
    CHECK(read_alarm(place.layout) == "an invitation was used twice");
    CHECK(lines_of(place.layout.audit_log()).at(0)["what"] == "alarm");
    REQUIRE(clear_alarm(place.layout).ok());
    CHECK(read_alarm(place.layout) == "");
}

TEST_CASE("settings file: one that everybody can write, or of another user, is refused") {
    Place place;
    const std::string path = place.layout.settings();
    std::ofstream(path) << "ship = \"auto\"\n";
    CHECK(why_file_is_untrusted(path) == "");
    REQUIRE(::chmod(path.c_str(), 0666) == 0);
    CHECK(why_file_is_untrusted(path).find("chmod o-w " + path) != std::string::npos);
    CHECK(read_toml(path).error().code == Errc::refused);
    REQUIRE(::chmod(path.c_str(), 0644) == 0);
    if (::chown(path.c_str(), 65534, 65534) != 0) {
        MESSAGE("skipped: of another user (needs root)");
        return;
    }
    CHECK(why_file_is_untrusted(path).find("belongs to user 65534") != std::string::npos);
    // Its owner may replace it anyway, as he owns the directory.
    REQUIRE(::chown(place.layout.directory.c_str(), 65534, 65534) == 0);
    CHECK(why_file_is_untrusted(path) == "");
}
