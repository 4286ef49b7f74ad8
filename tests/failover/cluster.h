// Three nodes in three network namespaces, each with a daemon, an application that writes whenever
// it may, and a file system of its own: what the failover tests and benches break, and what they
// ask of it.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/failover/history.h"
#include "tests/failover/network.h"
#include "tests/support/process/child.h"

namespace tanist::torture {

struct ClusterOptions {
    std::string build;
    std::string ack = "async";        // of every node
    std::string settings = {};        // more lines of tanist.toml, of every node
    bool automatic = false;           // else `tanist promote` elects
    std::string disk_bytes = "256m";  // of each node's file system; "": a directory
    int pace_ms = 1;                  // between two attempts of an application
    bool clocks = false;  // each node has a wall clock of its own, which step_clock() steps
    // What is added to the environment of a node's daemon.
    std::function<std::vector<std::string>(int node)> environment = {};
};

struct CommandEnd {
    int code = -1;
    std::string text;
};

class Cluster {
  public:
    static constexpr int kNodes = Network::kNodes;
    static constexpr int64_t kSum = 10'000;

    Cluster(ClusterOptions options, std::string directory);
    ~Cluster();
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;
    // Node 0 is the primary, all serve and follow, nobody writes yet. Throws what went wrong.
    void found();

    Network& network() { return network_; }
    // -- processes
    void start_daemon(int node);
    void start_client(int node);
    void start_clients();
    void stop_clients();
    void kill_node(int node);  // SIGKILL of its daemon and of its application
    void kill_client(int node) { nodes_[node].client.kill(); }
    void kill_daemon(int node) { nodes_[node].daemon.kill(); }
    void signal_daemon(int node, int number) { nodes_[node].daemon.signal(number); }
    void signal_node(int node, int number);
    // Requires: ClusterOptions::clocks. What its processes read is off by so much from now on.
    void step_clock(int node, std::chrono::nanoseconds offset) const;
    bool daemon_runs(int node) {
        return nodes_[node].daemon.started() && !nodes_[node].daemon.poll_end();
    }
    // `tanist WORDS` as a user of that node.
    CommandEnd tanist(int node, const std::string& words);
    // Directories below `directory` that hold the nodes' files, made by found() at the latest.
    static std::string directory_of(const std::string& directory, int node) {
        return directory + "/" + name(node);
    }
    nlohmann::json status(int node);
    std::string role(int node);
    // The node that is primary and serves; -1 none.
    int primary();
    void fill_disk(int node);
    void free_disk(int node);

    // -- waiting for facts; false: not within a minute
    uint64_t acknowledged(int node) const;  // to its client, ever
    bool writes_soon(int node);             // an acknowledgement to its client, from now on
    bool any_writes_soon();                 // to anybody
    bool any_other_writes(int than);        // has ever, in this run of the clients
    bool all_follow_soon(int holder);       // every other node has what was committed until now
    uint64_t end_of(int node) { return status(node)["log"].value("end", uint64_t{0}); }
    bool all_have(int holder, uint64_t end);  // by what the holder knows just now
    bool one_primary_soon(int not_on);
    // Everything healed and running: one primary, the others equal to it. Nobody writes.
    bool converges();

    // -- operators
    // Promotes some node but `not_on`: the most complete that can be asked. "" or what refused.
    std::string promote_any(int not_on);

    // -- judging; nobody writes
    History history() const;
    Final final_state(int node);
    std::string path(int node) const { return nodes_[node].directory + "/app.db"; }
    static std::string name(int node) { return std::string(1, static_cast<char>('a' + node)); }
    std::string log_of(int node) const;
    // -- of a run that failed
    std::string describe_databases();  // a line each: the image, log, WAL, pages that differ
    void keep_files() const;

  private:
    struct Node {
        std::string directory;
        testing::Child daemon;
        testing::Child client;
        uint64_t clients = 0;  // started so far
    };
    void found_primary();
    bool all_vote();
    std::string notes_of(int node) const { return directory_ + "/notes-" + name(node); }
    std::set<uint64_t> saved_values(int node);
    std::string clock_of(int node) const { return directory_ + "/clock-" + name(node); }
    std::vector<std::string> clock_environment(int node) const;

    ClusterOptions options_;
    std::string directory_;
    Network network_;
    std::array<Node, kNodes> nodes_;
    std::set<uint64_t> saved_;                // found in tails that are removed since
    std::array<uint64_t, kNodes> counted_{};  // acknowledgements when the clients were started
};

// The committed content; byte 18, the write version, differs on a replica. "": cannot be read.
std::string image_of(const std::string& path);
// Waits for a fact; the patience only bounds a failing test.
bool soon(const std::function<bool()>& holds,
          std::chrono::seconds patience = std::chrono::seconds(60));
int64_t boot_ns();

}  // namespace tanist::torture
