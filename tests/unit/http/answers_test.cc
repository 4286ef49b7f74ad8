#include "replicator/http/answers.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace tanist {
namespace {

using Json = nlohmann::json;

Json primary() {
    return {{"database", "/srv/app.db"},
            {"role", "primary"},
            {"epoch", 3},
            {"position", "3:41"},
            {"lease", nullptr},
            {"alarm", ""},
            {"engine", {{"answers", true}}},
            {"problem", ""},
            {"log", {{"end", 41}, {"durable", 40}, {"bytes", 8192}}},
            {"commits", 17},
            {"rebases", 0},
            {"held_up", 3},
            {"commits_confirmed",
             {{"committed", 41}, {"degraded", nullptr}, {"degradations", 0}, {"unconfirmed", 0}}},
            {"data_at_risk", {{"transactions", 1}, {"bytes", 4400}, {"seconds", 0.5}}},
            {"replicas",
             {{{"endpoint", "tcp://10.0.0.2:7400"},
               {"state", "streaming"},
               {"received", 41},
               {"durable", 40},
               {"applied", 40},
               {"heard_seconds_ago", 0.25},
               {"lag", {{"transactions", 1}, {"bytes", 4400}, {"seconds", 0.5}}}}}}};
}

Json replica() {
    return {{"role", "replica"},
            {"engine", {{"answers", true}}},
            {"problem", ""},
            {"state", "connected"},
            {"applied", 40},
            {"primary_end", 41},
            {"primary_heard_seconds_ago", 0.1},
            {"lag", {{"transactions", 1}, {"bytes", 4400}, {"seconds", 2.5}}}};
}

int code(const std::string& path, const Json& status, std::optional<std::string> lag = {}) {
    return answer_http(path, lag, status.dump()).code;
}

bool says(const Json& status, const std::string& line) {
    return ("\n" + metrics_text(status.dump())).find("\n" + line + "\n") != std::string::npos;
}

TEST_CASE("http: /primary is for a node that takes writes") {
    CHECK(code("/primary", primary()) == 200);
    CHECK(code("/primary", replica()) == 503);
    Json status = primary();
    status["role"] = "fenced";
    CHECK(code("/primary", status) == 503);
    status = primary();
    status["lease"] = 0.0;
    CHECK(code("/primary", status) == 503);
    status = primary();
    status["failover"] = {{"gate", "waiting"}};
    CHECK(code("/primary", status) == 503);
    status["failover"]["gate"] = "open";
    CHECK(code("/primary", status) == 200);
}

TEST_CASE("http: /replica is for one that hears its primary") {
    CHECK(code("/replica", replica()) == 200);
    CHECK(code("/replica", primary()) == 503);
    Json status = replica();
    status["primary_heard_seconds_ago"] = 6.0;
    CHECK(code("/replica", status) == 503);
    status["primary_heard_seconds_ago"] = nullptr;
    CHECK(code("/replica", status) == 503);
    status = replica();
    status["state"] = "connected, delta sync";
    CHECK(code("/replica", status) == 503);
}

TEST_CASE("http: /replica?lag= is a bound") {
    CHECK(code("/replica", replica(), "5s") == 200);
    CHECK(code("/replica", replica(), "2s") == 503);
    CHECK(code("/replica", replica(), "soon") == 400);
}

TEST_CASE("http: /health tells what is wrong") {
    CHECK(code("/health", primary()) == 200);
    Json status = primary();
    status["problem"] = "the disk is full";
    CHECK(answer_http("/health", {}, status.dump()).code == 503);
    CHECK(answer_http("/health", {}, status.dump()).body == "the disk is full\n");
    status = primary();
    status["engine"]["answers"] = false;
    CHECK(code("/health", status) == 503);
}

TEST_CASE("http: a status of any form is answered") {
    for (const char* status :
         {"", "{}", "[]", "{\"role\":1,\"replicas\":{},\"log\":7}", "nonsense"}) {
        for (const char* path : {"/metrics", "/health", "/primary", "/replica", "/status", "/"}) {
            CHECK_MESSAGE(answer_http(path, "1s", status).code >= 200, path << " of " << status);
        }
    }
    CHECK(code("/elsewhere", primary()) == 404);
}

TEST_CASE("http: the page shows names as text") {
    Json status = primary();
    status["database"] = "/srv/<script>.db";
    const HttpAnswer answer = answer_http("/", {}, status.dump());
    CHECK(answer.type.starts_with("text/html"));
    CHECK(answer.body.find("<script>") == std::string::npos);
    CHECK(answer.body.find("&lt;script&gt;") != std::string::npos);
}

TEST_CASE("metrics: a primary's") {
    CHECK(says(primary(), "# TYPE tanist_commits_total counter"));
    CHECK(says(primary(), "tanist_commits_total 17.0"));
    CHECK(says(primary(), "tanist_role{role=\"primary\"} 1.0"));
    CHECK(says(primary(), "tanist_at_risk_bytes 4400.0"));
    CHECK(says(primary(), "tanist_degraded 0.0"));
    CHECK(says(primary(), "tanist_replica_connected{replica=\"tcp://10.0.0.2:7400\"} 1.0"));
    CHECK(says(primary(), "tanist_replica_lag_seconds{replica=\"tcp://10.0.0.2:7400\"} 0.5"));
}

TEST_CASE("metrics: a replica's") {
    CHECK(says(replica(), "tanist_lag_seconds 2.5"));
    CHECK(says(replica(), "tanist_applied_lsn 40.0"));
    CHECK(!says(replica(), "tanist_commits_total 0.0"));
}

// Zero would mean that nothing is at risk.
TEST_CASE("metrics: what is not known is left out") {
    Json status = primary();
    status["data_at_risk"] = nullptr;
    const std::string text = metrics_text(status.dump());
    CHECK(text.find("at_risk") == std::string::npos);
    CHECK(text.find("lease_seconds") == std::string::npos);
}

TEST_CASE("metrics: degraded is seen") {
    Json status = primary();
    status["commits_confirmed"]["degraded"] = "durable:1";
    CHECK(says(status, "tanist_degraded 1.0"));
}

TEST_CASE("metrics: how the archive stands, where there is one") {
    CHECK(metrics_text(primary().dump()).find("archive") == std::string::npos);
    Json status = primary();
    status["archive"] = {
        {"through", 30}, {"segments", 2}, {"failures", 5}, {"lost", 7}, {"failing", "no room"}};
    CHECK(says(status, "tanist_archived_lsn 30.0"));
    CHECK(says(status, "tanist_archive_failing 1.0"));
    CHECK(says(status, "tanist_archive_failures_total 5.0"));
    CHECK(says(status, "tanist_archive_lost_records_total 7.0"));
    status["archive"]["failing"] = "";
    CHECK(says(status, "tanist_archive_failing 0.0"));
}

TEST_CASE("metrics: a label is escaped") {
    Json status = primary();
    status["replicas"][0]["endpoint"] = "ipc:///a\"b\\c";
    CHECK(says(status, "tanist_replica_durable_lsn{replica=\"ipc:///a\\\"b\\\\c\"} 40.0"));
}

}  // namespace
}  // namespace tanist
