#include "replicator/control/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "replicator/control/alarm.h"
#include "replicator/control/control_block.h"
#include "replicator/control/node_file.h"

namespace tanist {
namespace {

using Json = nlohmann::ordered_json;

// The engine beats once a second; a slow disk may hold it for a while.
constexpr int64_t kSilentAfterNs = 5'000'000'000;

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }
// `then` is read after `now` was taken, so it may be the later one.
double seconds_since(int64_t then_ns, Instant now) {
    return seconds(static_cast<uint64_t>(std::max<int64_t>(now.ns - then_ns, 0)));
}

Json lag(uint64_t end, uint64_t reached, uint64_t bytes, uint64_t ns) {
    uint64_t behind = end > reached ? end - reached : 0;
    return {{"transactions", behind},
            {"bytes", behind == 0 ? 0 : bytes},
            {"seconds", behind == 0 ? 0.0 : seconds(ns)}};
}

// Without an engine the entries are what a dead one wrote last: how far a replica was then is still
// true of it at least, what it does and what it lacks is not known.
Json peer_json(const PeerReport& peer, uint64_t end, Instant now, bool live) {
    Json json{{"endpoint", peer.endpoint},
              {"state", live ? to_string(peer.state) : "unknown"},
              {"reason", live ? peer.reason : ""},
              {"received", peer.received.value},
              {"durable", peer.durable.value},
              {"applied", peer.applied.value},
              {"lag", live ? lag(end, peer.applied.value, peer.lag_bytes, peer.lag_ns) : Json()}};
    json["heard_seconds_ago"] =
        peer.heard_ns == 0 ? Json() : Json(seconds_since(peer.heard_ns, now));
    if (live && peer.state == PeerState::syncing)
        json["sync"] = {{"done_bytes", peer.sync_done_bytes},
                        {"total_bytes", peer.sync_total_bytes}};
    return json;
}

std::vector<PeerReport> peers_of(const Control& control) {
    std::vector<PeerReport> peers;
    size_t count = std::min<size_t>(control->peers.load(), limits::kMembersMax);
    for (size_t i = 0; i < count; ++i) peers.push_back(control.peer(i));
    return peers;
}

// What would be lost if this node vanished now: commits that no replica has durably.
Json data_at_risk(const std::vector<PeerReport>& peers, uint64_t end) {
    auto safest = std::max_element(
        peers.begin(), peers.end(),
        [](const PeerReport& a, const PeerReport& b) { return a.durable < b.durable; });
    if (safest == peers.end()) return lag(end, 0, 0, 0);
    return lag(end, safest->durable.value, safest->lag_bytes, safest->lag_ns);
}

void add_primary(Json& json, const Control& control, uint64_t end, Instant now, bool live) {
    std::vector<PeerReport> peers = peers_of(control);
    Json replicas = Json::array();
    for (const PeerReport& peer : peers) replicas.push_back(peer_json(peer, end, now, live));
    json["replicas"] = replicas;
    const uint32_t degraded = control->degraded.load();
    json["commits_confirmed"] = {
        {"committed", control->committed_lsn.load()},
        {"degraded", degraded == 0 ? Json() : Json(to_string(unpack_ack_rule(degraded)))},
        {"degradations", control->degradations.load()},
        {"unconfirmed", control->degraded_commits.load()}};
    json["data_at_risk"] = live ? data_at_risk(peers, end) : Json();
    // Nobody archives, or nobody knows.
    Json archive = live ? Json::parse(control.archive(), nullptr, false) : Json();
    json["archive"] = archive.is_object() ? std::move(archive) : Json();
    json["commits"] = control->commits_captured.load();
    json["rebases"] = control->rebases.load();
    json["held_up"] = control->held_up_commits.load();
}

void add_replica(Json& json, const Control& control, Instant now) {
    uint64_t applied = control->applied_lsn.load();
    int64_t heard = control->primary_heard_ns.load();
    json["primary_end"] = control->primary_lsn.load();
    json["primary_heard_seconds_ago"] = heard == 0 ? Json() : Json(seconds_since(heard, now));
    json["lag"] = lag(control->primary_lsn.load(), applied, control->lag_bytes.load(),
                      control->lag_ns.load());
    json["received"] = control.captured().position.lsn.value;
    json["durable"] = control->durable_lsn.load();
    json["applied"] = applied;
    json["state"] = control.text(control->replica_state, sizeof control->replica_state);
    if (uint64_t total = control->sync_total_bytes.load(); total > 0)
        json["sync"] = {{"done_bytes", control->sync_done_bytes.load()}, {"total_bytes", total}};
}

std::string no_engine(const Layout& layout, Role role) {
    if (role == Role::replica) {
        return "no tanistd runs for this replica; start `tanistd --db " + layout.db +
               " --listen ENDPOINT`";
    }
    return "the engine does not run, so nothing is shipped; the next commit through the extension "
           "starts it, and so does `tanistd --engine --db " +
           layout.db + "`";
}

// Boot-clock times become seconds: left, or ago; null: never, or over.
Json seconds_left(const Json& json, const char* key, Instant now) {
    const int64_t until_ns = json.value(key, int64_t{0});
    return until_ns > now.ns ? Json(seconds(uint64_t(until_ns - now.ns))) : Json();
}

Json failover_json(const Control& control, Instant now) {
    Json json = Json::parse(control.failover(), nullptr, false);
    if (!json.is_object()) return {};
    for (const char* what : {"lease", "promise", "withholds"}) {
        const std::string until = std::string(what) + "_until_ns";
        json[std::string(what) + "_seconds"] = seconds_left(json, until.c_str(), now);
        json.erase(until);
    }
    for (Json& voter : json["voters"]) {
        const int64_t heard_ns = voter.value("heard_ns", int64_t{0});
        voter["heard_seconds_ago"] =
            heard_ns == 0 ? Json() : Json(seconds(uint64_t(now.ns - heard_ns)));
        voter.erase("heard_ns");
    }
    return json;
}

void add_live(Json& json, const Control& control, const Layout& layout, Role role) {
    Instant now = boot_now();
    CapturedPoint captured = control.captured();
    uint64_t end = captured.position.lsn.value;
    Position shown = captured.position;
    if (role == Role::replica) shown.lsn = Lsn{control->applied_lsn.load()};
    const bool live = engine_lives(layout.ship_lock());
    json["position"] = to_string(shown);
    json["engine"] = {{"pid", control->engine_pid.load()},
                      {"alive", live},
                      {"last_seen_seconds", seconds_since(control->engine_beat_ns.load(), now)}};
    json["log"] = {{"first", control->log_first_lsn.load()},
                   {"end", end},
                   {"durable", control->durable_lsn.load()},
                   {"bytes", control->log_bytes.load()}};
    if (role == Role::replica)
        add_replica(json, control, now);
    else if (role != Role::witness)
        add_primary(json, control, end, now, live);
    const std::string silence = live ? why_silent(control, role) : "";
    json["engine"]["answers"] = live && silence.empty();
    json["problem"] = !live             ? no_engine(layout, role)
                      : silence.empty() ? control.problem()
                                        : silence;
    json["notice"] = live ? control.notice() : "";
    if (live) json["failover"] = failover_json(control, now);
    if (json["failover"].is_object()) json["lease"] = json["failover"]["lease_seconds"];
    if (live && role == Role::fenced && json["problem"] == "") {
        json["problem"] = "fenced: every write is refused; `tanist unfence " + layout.db +
                          "` restores it, when this node is still the rightful primary";
    }
}

}  // namespace

std::string why_silent(const Control& control, Role role) {
    const int64_t silent_ns = boot_now().ns - control->engine_beat_ns.load();
    if (silent_ns < kSilentAfterNs) return "";
    const std::string pid = std::to_string(control->engine_pid.load());
    const std::string stands = "process " + pid + " has done nothing for " +
                               std::to_string(silent_ns / 1'000'000'000) +
                               " s: it is stopped, or it hangs; ";
    const std::string remedy = "`kill -CONT " + pid + "` lets a stopped one go on";
    if (role == Role::replica) {
        return "the daemon, " + stands + "this replica stays as it is; " + remedy;
    }
    return "the engine, " + stands +
           "commits go on, nothing is shipped, and the WAL grows as long as this lasts; " + remedy +
           ", and when it ends, the next commit through the extension starts another";
}

std::string status_json(const Layout& layout) {
    Json json{{"database", layout.db}, {"role", "unknown"}, {"epoch", 0},
              {"position", "0:0"},     {"lease", nullptr},  {"engine", nullptr},
              {"problem", ""},         {"notice", ""},      {"failover", nullptr}};
    auto node = read_node_file(layout.node());
    if (!node) {
        json["problem"] = node.error().message;
        return json.dump();
    }
    json["role"] = to_string(node->role);
    json["epoch"] = node->epoch.value;
    json["cluster"] = to_string(node->cluster);
    json["group"] = to_string(node->group);
    json["alarm"] = read_alarm(layout);
    auto control = Control::open(layout.control(), false, false);
    if (!control)
        json["problem"] = control.error().code == Errc::not_found ? "no engine has run yet"
                                                                  : control.error().message;
    else
        add_live(json, *control, layout, node->role);
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tanist
