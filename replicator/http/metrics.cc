#include "replicator/http/answers.h"
#include "replicator/http/fields.h"

namespace tanist {
namespace {

std::string escaped(const std::string& label) {
    std::string out;
    for (const char c : label) {
        if (c == '\\' || c == '"') out.push_back('\\');
        if (c == '\n') {
            out += "\\n";
        } else {
            out.push_back(c);
        }
    }
    return out;
}

double number(const Json& value) {
    if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
    return value.get<double>();
}

// Families in the order they are begun; a value that is absent or null is left out, not zero: what
// is not known must not look like "all is well".
class Exposition {
  public:
    void family(const std::string& name, const char* type, const char* help) {
        name_ = "tanist_" + name;
        head_ = "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " " + type + "\n";
    }
    void sample(const Json& value, const std::string& label = "", const std::string& is = "") {
        if (!value.is_number() && !value.is_boolean()) return;
        text_ += std::exchange(head_, "") + name_;
        if (!label.empty()) text_ += "{" + label + "=\"" + escaped(is) + "\"}";
        text_ += " " + Json(number(value)).dump() + "\n";
    }
    void one(const std::string& name, const char* type, const char* help, const Json& value) {
        family(name, type, help);
        sample(value);
    }
    std::string take() { return std::move(text_); }

  private:
    std::string name_;
    std::string head_;
    std::string text_;
};

void add_node(Exposition& out, const Json& status) {
    out.family("role", "gauge", "1 for the role that this node has");
    out.sample(true, "role", text(status, "role"));
    out.one("epoch", "gauge", "fencing number of the newest primacy known here",
            at(status, "epoch"));
    out.one("daemon_alive", "gauge", "1 while the engine or the replica's daemon runs and answers",
            at(at(status, "engine"), "answers"));
    out.one("problem", "gauge", "1 while the status names a problem",
            Json(!text(status, "problem").empty()));
    out.one("alarm", "gauge", "1 while a security alarm stands",
            Json(!text(status, "alarm").empty()));
    out.one("lease_seconds", "gauge", "what is left of the primary's lease", at(status, "lease"));
    const Json& log = at(status, "log");
    out.one("log_end_lsn", "gauge", "last record of the log", at(log, "end"));
    out.one("log_durable_lsn", "gauge", "last record of the log that is on the disk here",
            at(log, "durable"));
    out.one("log_bytes", "gauge", "size of the log", at(log, "bytes"));
}

void add_primary(Exposition& out, const Json& status) {
    out.one("commits_total", "counter", "transactions captured since the engine started",
            at(status, "commits"));
    out.one("rebases_total", "counter", "gaps that replicas had to sync past",
            at(status, "rebases"));
    out.one("held_up_commits_total", "counter",
            "commits that waited a moment because the WAL was too long", at(status, "held_up"));
    const Json& risk = at(status, "data_at_risk");
    out.one("at_risk_transactions", "gauge", "commits that no replica has on its disk",
            at(risk, "transactions"));
    out.one("at_risk_bytes", "gauge", "their size", at(risk, "bytes"));
    out.one("at_risk_seconds", "gauge", "age of the oldest of them", at(risk, "seconds"));
    const Json& confirmed = at(status, "commits_confirmed");
    if (!confirmed.is_object()) return;
    out.one("degraded", "gauge", "1 while commits do not wait for replicas though they should",
            Json(!at(confirmed, "degraded").is_null()));
    out.one("degradations_total", "counter", "how often that began", at(confirmed, "degradations"));
    out.one("unconfirmed_commits_total", "counter", "commits that did not wait because of it",
            at(confirmed, "unconfirmed"));
    out.one("committed_lsn", "gauge", "records up to it are visible or taken back",
            at(confirmed, "committed"));
}

void add_archive(Exposition& out, const Json& archive) {
    if (!archive.is_object()) return;
    out.one("archived_lsn", "gauge", "last record of the log that is archived",
            at(archive, "through"));
    out.one("archive_failing", "gauge", "1 while the archive's command fails",
            Json(!text(archive, "failing").empty()));
    out.one("archived_segments_total", "counter", "segments archived since the engine started",
            at(archive, "segments"));
    out.one("archive_failures_total", "counter", "how often the archive's command failed",
            at(archive, "failures"));
    out.one("archive_lost_records_total", "counter", "records that left the log unarchived",
            at(archive, "lost"));
}

void add_peers(Exposition& out, const Json& replicas) {
    struct Family {
        const char* name;
        const char* help;
        const char* member;
        const char* of_lag;
    };
    static constexpr Family kFamilies[] = {
        {"replica_received_lsn", "what the replica has received", "received", nullptr},
        {"replica_durable_lsn", "what it has on its disk", "durable", nullptr},
        {"replica_applied_lsn", "what its readers see", "applied", nullptr},
        {"replica_lag_transactions", "commits that it has not applied", "lag", "transactions"},
        {"replica_lag_bytes", "their size", "lag", "bytes"},
        {"replica_lag_seconds", "age of the oldest of them", "lag", "seconds"},
        {"replica_heard_seconds_ago", "since its last message", "heard_seconds_ago", nullptr},
    };
    if (!replicas.is_array()) return;
    out.family("replica_connected", "gauge", "1 while the replica streams or syncs");
    for (const Json& replica : replicas) {
        const Json& state = at(replica, "state");
        out.sample(state == "streaming" || state == "syncing", "replica",
                   text(replica, "endpoint"));
    }
    for (const Family& family : kFamilies) {
        out.family(family.name, "gauge", family.help);
        for (const Json& replica : replicas) {
            const Json& value = at(replica, family.member);
            out.sample(family.of_lag != nullptr ? at(value, family.of_lag) : value, "replica",
                       text(replica, "endpoint"));
        }
    }
}

void add_replica(Exposition& out, const Json& status) {
    out.one("applied_lsn", "gauge", "what readers see here", at(status, "applied"));
    out.one("primary_end_lsn", "gauge", "last record of the primary, as last heard",
            at(status, "primary_end"));
    out.one("primary_heard_seconds_ago", "gauge", "since the primary's last message",
            at(status, "primary_heard_seconds_ago"));
    const Json& lag = at(status, "lag");
    out.one("lag_transactions", "gauge", "commits of the primary that readers do not see here",
            at(lag, "transactions"));
    out.one("lag_bytes", "gauge", "their size", at(lag, "bytes"));
    out.one("lag_seconds", "gauge", "age of the oldest of them", at(lag, "seconds"));
}

}  // namespace

std::string metrics_text(const std::string& status_text) {
    const Json status = Json::parse(status_text, nullptr, false);
    Exposition out;
    if (!status.is_object()) return "";
    add_node(out, status);
    if (at(status, "role") == "replica") {
        add_replica(out, status);
    } else {
        add_primary(out, status);
        add_archive(out, at(status, "archive"));
        add_peers(out, at(status, "replicas"));
    }
    return out.take();
}

}  // namespace tanist
