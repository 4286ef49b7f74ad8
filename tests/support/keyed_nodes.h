// Nodes of one cluster with keys, by name, in one directory; a founds it, and the others join it by
// the address that they print.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <regex>
#include <string>
#include <vector>

#include "tests/support/daemons.h"

namespace tanist::testing {

struct KeyedNodes {
    TempDir dir;
    std::map<std::string, Daemon> daemons;
    std::map<std::string, std::string> endpoints;
    std::vector<std::string> daemon_options;  // of every daemon
    std::string witness_name;                 // which node is one, if any

    KeyedNodes() {
        StockSqlite(db("a")).must("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        must("init a.db");
    }
    std::string db(const std::string& name) const { return dir.path(name + ".db"); }
    void start(const std::string& name) {
        std::string& endpoint = endpoints[name];  // the port that it got stays its own
        std::vector<std::string> arguments = {
            "--db",    db(name), "--listen", endpoint.empty() ? "tcp://127.0.0.1:*" : endpoint,
            "--curve", "true"};
        arguments.insert(arguments.end(), daemon_options.begin(), daemon_options.end());
        if (name == witness_name) arguments.push_back("--witness");
        daemons[name] = Daemon(dir, arguments);
        REQUIRE_MESSAGE(daemons[name].ready(), daemons[name].said());
        endpoint = daemons[name].endpoint();
    }
    void add(const std::string& name, const std::string& more) {
        start(name);
        std::smatch address;
        std::string line;
        while (auto next = daemons[name].read_line()) {
            line = *next;
            if (std::regex_search(line, address, std::regex("tanist://[^']*"))) break;
        }
        must("members add a.db '" + address[0].str() + "' --name " + name + more);
    }
    Outcome tanist(const std::string& arguments) const {
        return shell(dir, kTanist + " " + arguments);
    }
    void must(const std::string& arguments) const {
        const Outcome done = tanist(arguments);
        REQUIRE_MESSAGE(done.code == 0, done.text);
    }
};

}  // namespace tanist::testing
