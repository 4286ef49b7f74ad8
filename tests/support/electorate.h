// A group that elects its primary: data nodes a, b (and c), and perhaps a witness w, each with its
// own daemon, on one machine without keys. `a` begins as the primary. Commits through the extension
// wait for `ack`; the default profile, because a loaded machine may take long for a sync.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/application.h"
#include "tests/support/daemons.h"

namespace tanist::testing {

struct Voter {
    std::string name;
    std::string db;
    std::string endpoint;
    bool witness = false;
    Daemon daemon = {};

    void pause() const { ::kill(daemon.pid(), SIGSTOP); }
    void go_on() const { ::kill(daemon.pid(), SIGCONT); }
    std::string ask(const std::string& sql) const { return StockSqlite(db).ask(sql); }
};

struct Electorate {
    TempDir dir;
    std::string ack;
    std::vector<std::string> more;  // options of every daemon
    Voter a, b, c;                  // c is the witness, where there is one

    // `prepare` is called before anything is made for `a`.
    explicit Electorate(bool with_witness = false, std::string rule = "durable:1",
                        std::vector<std::string> options = {},
                        const std::function<void(const Voter& a)>& prepare = {})
        : ack(std::move(rule)), more(std::move(options)) {
        // Unix-domain endpoints keep their address when a daemon comes back.
        for (auto [node, name] : {std::pair{&a, "a"}, {&b, "b"}, {&c, "c"}}) {
            node->name = name;
            node->db = dir.path(std::string(name) + ".db");
            node->endpoint = "ipc://" + dir.path(std::string(name) + ".sock");
        }
        c.witness = with_witness;
        if (prepare) prepare(a);
        StockSqlite(a.db).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        must("init a.db");
        std::string settings = "ack = \"" + ack + "\"\n";
        // With two data nodes, the loss of one leaves nobody to confirm anything.
        if (with_witness) settings += "on_timeout = \"degrade\"\nack_timeout = \"1s\"\n";
        write_text(a.db + "-tanist/tanist.toml", settings);
        start(b);
        start(c);
        must("members add a.db " + b.endpoint + " --name b");
        must("members add a.db " + c.endpoint + " --name c" + (c.witness ? " --witness" : ""));
        start(a);
        if (!eventually([&] { return is_primary(a) && is_ready(b) && is_ready(c); })) {
            throw std::runtime_error("nobody was elected: " + story());
        }
    }
    std::vector<std::string> arguments_of(const Voter& node) const {
        std::vector<std::string> arguments = {
            "--db",       node.db,     "--listen",           node.endpoint,
            "--failover", "automatic", "--failover-profile", "default"};
        if (node.witness) arguments.push_back("--witness");
        arguments.insert(arguments.end(), more.begin(), more.end());
        return arguments;
    }
    void start(Voter& node) {
        node.daemon = Daemon(dir, arguments_of(node));
        if (!node.daemon.ready()) throw std::runtime_error(node.daemon.said());
    }
    Outcome run(const std::string& arguments) const {
        return shell(dir, kTanist + " " + arguments);
    }
    void must(const std::string& arguments) const {
        const Outcome outcome = run(arguments);
        if (outcome.code != 0) throw std::runtime_error(arguments + ": " + outcome.text);
    }
    nlohmann::json status(const Voter& node) const {
        return nlohmann::json::parse(run("status " + node.db + " --json").text, nullptr, false);
    }
    nlohmann::json failover(const Voter& node) const {
        const nlohmann::json json = status(node);
        return json.is_object() ? json.value("failover", nlohmann::json()) : nlohmann::json();
    }
    bool is_primary(const Voter& node) const {
        const nlohmann::json view = failover(node);
        return view.is_object() && view.value("role", "") == "primary" &&
               view.value("gate", "") == "open";
    }
    bool votes(const Voter& node) const {
        const nlohmann::json view = failover(node);
        return view.is_object() && view["holder"].is_object();
    }
    // A first copy that can be read may still be noted as one that comes; a replica that is killed
    // then asks nobody for votes.
    bool is_ready(const Voter& node) const {
        return votes(node) && (node.witness || failover(node)["eligible"] == true);
    }
    // Which of them is elected, when one of them is soon; null: none was.
    const Voter* elected(const std::vector<const Voter*>& nodes) const {
        const Voter* found = nullptr;
        eventually([&] {
            for (const Voter* node : nodes) {
                if (is_primary(*node)) found = node;
            }
            return found != nullptr;
        });
        return found;
    }
    // What each of them says of itself, for a test that fails.
    std::string story() const {
        std::string text;
        for (const Voter* node : {&a, &b, &c}) {
            text += "\n" + run("status " + node->db).text + node->daemon.said();
        }
        return text;
    }
    // One statement through the extension, in an application of its own; "ok" or "error: ...".
    std::string writes(const Voter& node, const std::string& text) const {
        OpenOptions options;
        options.extension = kExtension;
        options.parameters = "vfs=tanist&ack=" + ack;
        if (c.witness) options.parameters += "&on_timeout=degrade&ack_timeout=1s";
        return Application(node.db, options).run("INSERT INTO t VALUES('" + text + "')");
    }
    bool writes_soon(const Voter& node, const std::string& text) const {
        return eventually([&] { return !writes(node, text).starts_with("error"); });
    }
    bool equal_soon(const Voter& primary, const std::vector<const Voter*>& replicas) const {
        const std::string wanted = image_of(primary.db);
        for (const Voter* replica : replicas) {
            if (!eventually([&] { return image_of(replica->db) == wanted; })) return false;
        }
        return true;
    }
};

}  // namespace tanist::testing
