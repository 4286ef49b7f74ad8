// What `tanistd --http` answers, from the node's status as one JSON text (control/status.h). Pure.
//
//   /metrics   Prometheus text format 0.0.4
//   /health    200 while the daemon works and has nothing to complain of, else 503 and the reason
//   /primary   200 on a node that takes writes now, else 503
//   /replica   200 on a replica that hears its primary; /replica?lag=5s: and is at most that behind
//   /status    the status itself
//   /          a page for people
//
// The three probes are for load balancers: the body says why, and does not matter to them.
#pragma once

#include <optional>
#include <string>

namespace tanist {

struct HttpAnswer {
    int code = 200;
    std::string type = "text/plain; charset=utf-8";
    std::string body;
};

// `lag` is the query's parameter of that name. Never fails: an unknown path is 404, a lag that is
// no duration 400, a status that is no JSON 503.
HttpAnswer answer_http(const std::string& path, const std::optional<std::string>& lag,
                       const std::string& status);
// Of answer_http's /metrics; the text format:
// https://prometheus.io/docs/instrumenting/exposition_formats/
std::string metrics_text(const std::string& status);

}  // namespace tanist
