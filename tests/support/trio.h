// Three nodes of one cluster, each with its own database and daemon: `a` begins as the primary,
// `b` and `c` as its replicas. All of them listen, so that each can be the primary or a replica.
#pragma once

#include <signal.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/daemons.h"

namespace tanist::testing {

struct TrioNode {
    std::string db;
    std::string endpoint;
    Daemon daemon;

    void start(const TempDir& dir) {
        std::vector<std::string> arguments = {"--db", db, "--listen", endpoint};
        daemon = Daemon(dir, arguments);
        if (!daemon.ready()) throw std::runtime_error(daemon.said());
    }
    void pause() const { ::kill(daemon.pid(), SIGSTOP); }
    void go_on() const { ::kill(daemon.pid(), SIGCONT); }
    std::string ask(const std::string& sql) const { return StockSqlite(db).ask(sql); }
    bool writes() const {
        return StockSqlite(db).ask("INSERT INTO t VALUES('w')").starts_with("error") == false;
    }
};

struct Trio {
    TempDir dir;
    TrioNode a, b, c;

    Trio() {
        // Unix-domain endpoints keep their address when a daemon comes back.
        for (auto [node, name] : {std::pair{&a, "a"}, {&b, "b"}, {&c, "c"}}) {
            node->db = dir.path(std::string(name) + ".db");
            node->endpoint = "ipc://" + dir.path(std::string(name) + ".sock");
        }
        StockSqlite(a.db).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        must("init a.db");
        b.start(dir);
        c.start(dir);
        must("members add a.db " + b.endpoint + " --name b");
        must("members add a.db " + c.endpoint + " --name c");
        a.start(dir);
        if (!equal_soon(a, {&b, &c})) throw std::runtime_error("the replicas do not follow");
        // Everybody knows everybody before anything happens.
        for (const TrioNode* node : {&b, &c}) {
            if (!eventually([&] { return knows_all(*node); })) {
                throw std::runtime_error("no roster at " + node->db);
            }
        }
    }
    Outcome run(const std::string& arguments) const {
        return shell(dir, kTanist + " " + arguments);
    }
    void must(const std::string& arguments) const {
        const Outcome outcome = run(arguments);
        if (outcome.code != 0) throw std::runtime_error(arguments + ": " + outcome.text);
    }
    nlohmann::json json(const std::string& arguments) const {
        return nlohmann::json::parse(run(arguments + " --json").text, nullptr, false);
    }
    bool knows_all(const TrioNode& node) const {
        const std::string members = file_text(node.db + "-tanist/members");
        return members.find(a.endpoint) != std::string::npos &&
               members.find(b.endpoint) != std::string::npos &&
               members.find(c.endpoint) != std::string::npos;
    }
    // The primary must be at rest.
    static bool equal_soon(const TrioNode& primary, std::vector<const TrioNode*> replicas) {
        const std::string wanted = image_of(primary.db);
        for (const TrioNode* replica : replicas) {
            if (!eventually([&] { return image_of(replica->db) == wanted; })) return false;
        }
        return true;
    }
    std::string role(const TrioNode& node) const {
        return json("status " + node.db).value("role", "");
    }
};

}  // namespace tanist::testing
