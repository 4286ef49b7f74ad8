#include <chrono>
#include <cstdio>
#include <thread>

#include "failover/commands.h"
#include "failover/node_command.h"
#include "failover/output.h"
#include "failover/status_ask.h"
#include "replicator/base/file.h"
#include "replicator/control/identity.h"
#include "replicator/control/node_address.h"
#include "replicator/control/node_file.h"
#include "replicator/control/status.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr auto kStatusPatience = 2s;
constexpr auto kWatchEvery = 1s;

// Another version's answer may lack a field: absent reads as zero or "".
template <class T>
T get(const Json& json, const char* key, T otherwise) {
    auto found = json.is_object() ? json.find(key) : json.end();
    if (found == json.end()) return otherwise;
    const bool fits = std::is_same_v<T, std::string> ? found->is_string()
                      : std::is_same_v<T, bool>      ? found->is_boolean()
                                                     : found->is_number();
    return fits ? found->get<T>() : otherwise;
}
uint64_t number(const Json& json, const char* key) { return get<uint64_t>(json, key, 0); }
std::string text(const Json& json, const char* key) { return get<std::string>(json, key, ""); }
Json child(const Json& json, const char* key) {
    return json.is_object() && json.contains(key) ? json[key] : Json();
}

std::string say_lag(const Json& lag) {
    if (lag.is_null()) return "unknown";
    const uint64_t commits = number(lag, "transactions");
    if (commits == 0) return "none";
    return std::to_string(commits) + (commits == 1 ? " commit, " : " commits, ") +
           say_bytes(number(lag, "bytes")) + ", " + say_seconds(get<double>(lag, "seconds", 0));
}

std::string say_heard(const Json& json, const char* key) {
    const double ago = get<double>(json, key, -1);
    return ago < 0 ? "never" : say_seconds(ago) + " ago";
}

std::string say_sync(const Json& json) {
    const Json sync = child(json, "sync");
    const uint64_t total = number(sync, "total_bytes");
    if (total == 0) return "";
    return say_bytes(number(sync, "done_bytes")) + " of " + say_bytes(total);
}

std::string say_engine(const Json& status) {
    const Json engine = child(status, "engine");
    if (!get(engine, "alive", false)) return "not running";
    const std::string process = "process " + std::to_string(number(engine, "pid"));
    if (get(engine, "answers", true)) return "running, " + process;
    return "silent for " + say_seconds(get<double>(engine, "last_seen_seconds", 0)) + ", " +
           process;
}

std::string render_replicas(const Json& status) {
    const Json replicas = child(status, "replicas");
    if (!replicas.is_array() || replicas.empty()) return "  replicas   none";
    std::vector<std::vector<std::string>> rows = {
        {"  REPLICA", "STATE", "DURABLE", "APPLIED", "BEHIND", "HEARD", ""}};
    for (const Json& replica : replicas) {
        std::string remark = text(replica, "reason");
        if (std::string sync = say_sync(replica); !sync.empty()) remark += " " + sync;
        rows.push_back({"  " + text(replica, "endpoint"), text(replica, "state"),
                        std::to_string(number(replica, "durable")),
                        std::to_string(number(replica, "applied")), say_lag(child(replica, "lag")),
                        say_heard(replica, "heard_seconds_ago"), remark});
    }
    return table(rows);
}

std::string say_left(const Json& json, const char* key) {
    const double left = get<double>(json, key, -1);
    return left < 0 ? "none" : say_seconds(left);
}

// How the elections stand, where voters decide; "" where an operator does.
std::string render_failover(const Json& status) {
    const Json failover = child(status, "failover");
    if (!failover.is_object()) return "";
    const Json holder = child(failover, "holder");
    const Json policy = child(failover, "policy");
    std::string out = "  failover   automatic, this node is " + text(failover, "role") + ", gate " +
                      text(failover, "gate") + ", lease " + say_left(failover, "lease_seconds") +
                      ", promise " + say_left(failover, "promise_seconds");
    if (get(policy, "paused", false)) out += "; PAUSED: no election without an operator";
    out += "\n  primary    " + (holder.is_object()
                                    ? text(holder, "endpoint") + ", elected for epoch " +
                                          std::to_string(number(failover, "epoch"))
                                    : std::string("none elected yet"));
    for (const Json& voter : child(failover, "voters")) {
        out += "\n  voter      " + text(voter, "endpoint") +
               (get(voter, "witness", false) ? " (witness)" : "") +
               (get(voter, "self", false) ? ", this node"
                                          : ", heard " + say_heard(voter, "heard_seconds_ago"));
    }
    if (get<double>(failover, "withholds_seconds", -1) >= 0) {
        out += "\n  withholds  its vote for " + say_left(failover, "withholds_seconds") +
               ": an earlier promise of this node may still bind it";
    }
    if (std::string why = text(failover, "why_not"); !why.empty()) {
        out += "\n  eligible   no: " + why;
    }
    for (const Json& refusal : child(failover, "refusals")) {
        out += "\n  refused    by " + text(refusal, "name") + ": " + text(refusal, "reason");
    }
    if (std::string note = text(failover, "note"); !note.empty()) out += "\n  note       " + note;
    return out + "\n";
}

// "" where nothing is archived.
std::string render_archive(const Json& status) {
    const Json archive = child(status, "archive");
    if (!archive.is_object()) return "";
    std::string out = "  archive    through record " + std::to_string(number(archive, "through"));
    if (const uint64_t lost = number(archive, "lost"); lost > 0) {
        out += ", " + std::to_string(lost) + " records left the log before";
    }
    if (std::string why = text(archive, "failing"); !why.empty()) out += "; FAILING: " + why;
    return out + "\n";
}

std::string render(const Json& status) {
    const std::string role = text(status, "role");
    const Json log = child(status, "log");
    std::string out = text(status, "database") + "\n  " + role + ", epoch " +
                      std::to_string(number(status, "epoch")) + ", position " +
                      text(status, "position") + "\n";
    out += std::string(role == "replica" || role == "witness" ? "  daemon     " : "  engine     ") +
           say_engine(status) + "\n";
    if (!log.is_null()) {
        out += "  log        records " + std::to_string(number(log, "first")) + " to " +
               std::to_string(number(log, "end")) + ", durable to " +
               std::to_string(number(log, "durable")) + ", " + say_bytes(number(log, "bytes")) +
               "\n";
    }
    if (std::string problem = text(status, "problem"); !problem.empty()) {
        out += "  problem    " + problem + "\n";
    }
    if (std::string alarm = text(status, "alarm"); !alarm.empty()) {
        out += "  alarm      " + alarm + "\n";
    }
    if (std::string notice = text(status, "notice"); !notice.empty()) {
        out += "  notice     " + notice + "\n";
    }
    out += render_failover(status);
    if (role == "witness") return out + "  state      a voter without data";
    if (role == "replica") {
        std::string state = text(status, "state");
        if (std::string sync = say_sync(status); !sync.empty()) state += ", " + sync;
        out += "  state      " + state + "\n";
        out += "  behind     " + say_lag(child(status, "lag")) + "\n";
        out += "  primary    heard " + say_heard(status, "primary_heard_seconds_ago") +
               ", its end is " + std::to_string(number(status, "primary_end"));
        return out;
    }
    if (std::string rule = text(child(status, "commits_confirmed"), "degraded"); !rule.empty()) {
        out += "  degraded   commits are not confirmed by " + rule + "\n";
    }
    out += render_archive(status);
    out += "  at risk    " + say_lag(child(status, "data_at_risk")) + "\n";
    return out + render_replicas(status);
}

// One line, for --watch where there is no terminal.
std::string render_line(const Json& status) {
    const Json engine = child(status, "engine");
    std::string line = text(status, "role") + " " + text(status, "position") + " engine ";
    line += !get(engine, "alive", false)   ? "stopped"
            : get(engine, "answers", true) ? "running"
                                           : "silent";
    if (text(status, "role") == "replica") return line + " behind " + say_lag(child(status, "lag"));
    line += " at risk " + say_lag(child(status, "data_at_risk"));
    for (const Json& replica : child(status, "replicas")) {
        line += " | " + text(replica, "endpoint") + " " + text(replica, "state") + " behind " +
                say_lag(child(replica, "lag"));
    }
    return line;
}

Result<Json> parse_status(const std::string& from, const std::string& answer) {
    Json json = Json::parse(answer, nullptr, false);
    if (json.is_discarded() || !json.is_object()) {
        return Error{Errc::corrupt, from + " answered something that is no status"};
    }
    return json;
}

// With the identity of `as`, or with a key that nobody knows.
Result<Json> ask_node(const std::string& target, const std::string& as) {
    Result<NodeAddress> address = parse_node_address(target);
    if (!address) return std::move(address).error();
    Result<Identity> self = as.empty() ? Identity::create() : identity_of(as);
    if (!self) return std::move(self).error();
    Result<std::string> answer = ask_status(*address, *self, kStatusPatience);
    if (!answer) return std::move(answer).error();
    return parse_status(address->endpoint, *answer);
}

Result<Json> status_of(const std::string& target, const std::string& as) {
    if (is_node_address(target)) return ask_node(target, as);
    if (target.find("://") != std::string::npos) {
        Result<std::string> answer = ask_status(target, kStatusPatience);
        if (!answer) return std::move(answer).error();
        return parse_status(target, *answer);
    }
    const Layout layout(target);
    Result<NodeFile> node = read_node_file(layout.node());
    if (!node) {
        if (node.error().code != Errc::not_found) return std::move(node).error();
        if (!path_exists(layout.db)) {
            return Error{Errc::not_found, layout.db + " does not exist"};
        }
        return Error{Errc::not_found,
                     layout.db + " is not set up for replication; run: tanist init " + target};
    }
    return parse_status(layout.db, status_json(layout));
}

int print_status(const StatusOptions& options, bool redraw) {
    Result<Json> status = status_of(options.target, options.as);
    if (redraw) std::printf("\033[H\033[J");
    if (!status) return print_error(status.error(), options.json);
    if (options.json) {
        print_json(*status);
    } else if (options.watch && !redraw) {
        print_line(render_line(*status));
    } else {
        print_line(render(*status));
    }
    return kExitDone;
}

}  // namespace

int run_status(const StatusOptions& options) {
    if (!options.watch) return print_status(options, false);
    const bool redraw = terminal() && !options.json;
    for (;;) {
        print_status(options, redraw);
        if (std::ferror(stdout) != 0) return kExitFailed;
        std::this_thread::sleep_for(kWatchEvery);
    }
}

}  // namespace tanist
