#include "replicator/http/answers.h"

#include "replicator/control/settings.h"
#include "replicator/http/fields.h"

namespace tanist {
namespace {

constexpr double kHeardLately = 5;  // seconds

std::string html_escaped(const std::string& plain) {
    std::string out;
    for (const char c : plain) {
        if (c == '&') {
            out += "&amp;";
        } else if (c == '<') {
            out += "&lt;";
        } else if (c == '>') {
            out += "&gt;";
        } else {
            out.push_back(c);
        }
    }
    return out;
}

HttpAnswer verdict(const std::string& why_not) {
    if (why_not.empty()) return {200, "text/plain; charset=utf-8", "yes\n"};
    return {503, "text/plain; charset=utf-8", why_not + "\n"};
}

std::string why_unhealthy(const Json& status) {
    if (at(at(status, "engine"), "answers") != true) {
        const std::string problem = text(status, "problem");
        return problem.empty() ? "the daemon does not answer" : problem;
    }
    if (const std::string alarm = text(status, "alarm"); !alarm.empty()) return alarm;
    return text(status, "problem");
}

std::string why_no_primary(const Json& status) {
    if (text(status, "role") != "primary") return "this node is " + text(status, "role");
    const Json& lease = at(status, "lease");
    if (lease.is_number() && lease.get<double>() <= 0) return "its lease is over";
    const Json& failover = at(status, "failover");
    if (failover.is_object() && text(failover, "gate") != "open") {
        return "its gate is " + text(failover, "gate");
    }
    return "";
}

std::string why_no_replica(const Json& status, std::optional<double> lag_most) {
    if (text(status, "role") != "replica") return "this node is " + text(status, "role");
    if (at(at(status, "engine"), "answers") != true) return "its daemon does not answer";
    const Json& heard = at(status, "primary_heard_seconds_ago");
    const std::string state = text(status, "state");
    if (!state.starts_with("connected") || !heard.is_number() || heard > kHeardLately) {
        return "it does not hear its primary";
    }
    if (state != "connected") return "it is being brought up to date: " + state;
    if (!lag_most) return "";
    const Json& seconds = at(at(status, "lag"), "seconds");
    if (seconds.is_number() && seconds <= *lag_most) return "";
    return "it is " + seconds.dump() + " s behind";
}

HttpAnswer probe_replica(const Json& status, const std::optional<std::string>& lag) {
    std::optional<double> most;
    if (lag) {
        const auto parsed = parse_duration(*lag);
        if (!parsed.ok()) return {400, "text/plain; charset=utf-8", parsed.error().message + "\n"};
        most = std::chrono::duration<double>(*parsed).count();
    }
    return verdict(why_no_replica(status, most));
}

HttpAnswer page(const Json& status) {
    const std::string problem = text(status, "problem");
    std::string body =
        "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=2>"
        "<title>tanist</title><style>body{font:15px/1.5 sans-serif;margin:2em}"
        "pre{background:#f4f4f4;padding:1em;overflow:auto}.bad{color:#b00}</style><h1>" +
        html_escaped(text(status, "role")) + " of " + html_escaped(text(status, "database")) +
        "</h1><p>position " + html_escaped(text(status, "position"));
    if (!problem.empty()) body += "<p class=bad>" + html_escaped(problem);
    body += "<pre>" + html_escaped(status.dump(2)) + "</pre>\n";
    return {200, "text/html; charset=utf-8", std::move(body)};
}

}  // namespace

HttpAnswer answer_http(const std::string& path, const std::optional<std::string>& lag,
                       const std::string& status_text) {
    const Json status = Json::parse(status_text, nullptr, false);
    if (!status.is_object()) return {503, "text/plain; charset=utf-8", "no status\n"};
    if (path == "/metrics") {
        return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(status_text)};
    }
    if (path == "/health") return verdict(why_unhealthy(status));
    if (path == "/primary") return verdict(why_no_primary(status));
    if (path == "/replica") return probe_replica(status, lag);
    if (path == "/status") return {200, "application/json", status_text + "\n"};
    if (path == "/") return page(status);
    return {404, "text/plain; charset=utf-8",
            "there are /metrics, /health, /primary, /replica, /replica?lag=5s, /status and /\n"};
}

}  // namespace tanist
