#include <algorithm>

#include "failover/findings.h"
#include "failover/log_cipher_of.h"
#include "failover/output.h"
#include "failover/status_ask.h"
#include "replicator/base/file.h"
#include "replicator/control/alarm.h"
#include "replicator/control/setup.h"
#include "replicator/control/status.h"
#include "replicator/log/log.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;

constexpr auto kReplicaPatience = 1s;

void find_engine(const Layout& layout, Role role, Findings& findings) {
    const char* check = role == Role::replica ? "daemon" : "engine";
    Result<Control> control = Control::open(layout.control(), false, false);
    const bool lives = engine_lives(layout.ship_lock());
    const std::string silence = lives && control ? why_silent(*control, role) : "";
    if (!silence.empty()) {
        findings.push_back({check, FindingLevel::fail, silence, "let it go on, or end it"});
    } else if (lives) {
        findings.push_back({check, FindingLevel::ok, "running", ""});
    } else if (role == Role::replica) {
        findings.push_back({check, FindingLevel::fail, "not running: nothing reaches this replica",
                            "tanistd --db " + layout.db + " --listen ENDPOINT"});
    } else {
        findings.push_back({check, FindingLevel::warn,
                            "not running: commits stay on this machine until it does",
                            "it starts with the next application that loads the extension, or: "
                            "tanistd --db " +
                                layout.db});
    }
    if (!control || !lives) return;
    if (std::string problem = control->problem(); !problem.empty()) {
        findings.push_back({check, FindingLevel::warn, problem, "see " + layout.engine_log()});
    }
    if (std::string notice = control->notice(); !notice.empty()) {
        findings.push_back({check, FindingLevel::warn, notice, "look whether this is meant"});
    }
}

void find_archive(const Layout& layout, Findings& findings) {
    Result<Control> control = Control::open(layout.control(), false, false);
    if (!control || !engine_lives(layout.ship_lock())) return;
    const Json archive = Json::parse(control->archive(), nullptr, false);
    if (!archive.is_object()) return;
    const std::string failing = archive.value("failing", "");
    const uint64_t lost = archive.value("lost", uint64_t{0});
    if (!failing.empty()) {
        findings.push_back({"archive", FindingLevel::fail, failing,
                            "the log is kept until log_bytes_max; it is tried again by itself"});
    }
    if (lost > 0) {
        findings.push_back(
            {"archive", FindingLevel::fail,
             std::to_string(lost) + " records left the log before they were archived",
             "copy the database as a new start of what can be restored"});
    }
    if (failing.empty() && lost == 0) {
        findings.push_back(
            {"archive", FindingLevel::ok,
             "through record " + std::to_string(archive.value("through", uint64_t{0})), ""});
    }
}

std::vector<std::string> endpoints_of(const Layout& layout, Findings& findings) {
    std::vector<std::string> endpoints;
    Result<std::vector<Member>> members = read_members(layout.members());
    if (members) {
        for (const Member& member : *members) endpoints.push_back(member.endpoint);
    } else {
        findings.push_back(
            {"members", FindingLevel::fail, members.error().message, "correct that line"});
    }
    auto add = [&](const std::string& endpoint) {
        if (std::find(endpoints.begin(), endpoints.end(), endpoint) == endpoints.end()) {
            endpoints.push_back(endpoint);
        }
    };
    Result<Settings> settings = read_settings(layout.settings(), Role::primary);
    if (settings) std::for_each(settings->replicas.begin(), settings->replicas.end(), add);
    // Replicas that an application named in its URI are known to the engine only.
    Result<Control> control = Control::open(layout.control(), false, false);
    for (uint32_t i = 0; control && i < (*control)->peers.load() && i < limits::kMembersMax; ++i) {
        add(control->peer(i).endpoint);
    }
    return endpoints;
}

// Over CURVE, with this node's identity, where the member has a key.
Result<std::string> ask_member(const Layout& layout, const std::string& endpoint) {
    Result<std::vector<Member>> members = read_members(layout.members());
    for (const Member& member : members ? *members : std::vector<Member>{}) {
        if (member.endpoint != endpoint || member.key.is_zero()) continue;
        Result<Identity> self = Identity::load(layout.identity());
        if (!self) return std::move(self).error();
        return ask_status(NodeAddress{member.key, endpoint, {}}, *self, kReplicaPatience);
    }
    return ask_status(endpoint, kReplicaPatience);
}

void find_alarm(const Layout& layout, Findings& findings) {
    const std::string alarm = read_alarm(layout);
    if (alarm.empty()) return;
    findings.push_back({"security", FindingLevel::fail, alarm,
                        "see docs/security.md, then: tanist keys show --clear-alarm " + layout.db});
}

void find_replicas(const Layout& layout, Findings& findings) {
    const std::vector<std::string> endpoints = endpoints_of(layout, findings);
    if (endpoints.empty()) {
        findings.push_back({"replicas", FindingLevel::warn, "there is none: nothing is replicated",
                            "tanist members add " + layout.db + " tcp://127.0.0.1:PORT"});
    }
    for (const std::string& endpoint : endpoints) {
        Result<std::string> answer = ask_member(layout, endpoint);
        if (answer) {
            findings.push_back({"replicas", FindingLevel::ok, endpoint + " answers", ""});
        } else {
            findings.push_back(
                {"replicas", FindingLevel::fail, answer.error().message,
                 "start it, or: tanist members remove " + layout.db + " " + endpoint});
        }
    }
}

void find_log(const Layout& layout, Findings& findings) {
    if (!path_exists(layout.log())) {
        findings.push_back({"log", FindingLevel::ok, "not begun yet", ""});
        return;
    }
    auto cipher = log_cipher_of(layout.log());
    if (!cipher) {
        findings.push_back({"log", FindingLevel::fail, cipher.error().message,
                            "put the key file back; see encrypt_at_rest_key"});
        return;
    }
    Result<LogWalk> walk =
        walk_log(layout.log(), *cipher, true,
                 [](const std::string&, uint64_t, const RecordHeader&) { return true; });
    if (!walk) {
        findings.push_back({"log", FindingLevel::fail, walk.error().message,
                            "stop the engine, move " + layout.log() +
                                " away; replicas are brought up to date by a delta sync"});
        return;
    }
    findings.push_back({"log", FindingLevel::ok,
                        std::to_string(walk->records) + " records to " +
                            to_string(walk->end.position) + ", tail " + walk->tail,
                        ""});
}

}  // namespace

void find_replication(const Layout& layout, Findings& findings) {
    Result<NodeFile> node = read_node_file(layout.node());
    if (!node) {
        const bool absent = node.error().code == Errc::not_found;
        findings.push_back({"replication", absent ? FindingLevel::warn : FindingLevel::fail,
                            absent ? "not set up" : node.error().message,
                            absent ? "tanist init " + layout.db : "restore the file"});
        return;
    }
    findings.push_back(
        {"replication", FindingLevel::ok,
         std::string(to_string(node->role)) + ", epoch " + std::to_string(node->epoch.value), ""});
    find_alarm(layout, findings);
    find_engine(layout, node->role, findings);
    if (node->role == Role::primary) find_replicas(layout, findings);
    if (node->role == Role::primary) find_archive(layout, findings);
    find_log(layout, findings);
}

}  // namespace tanist
