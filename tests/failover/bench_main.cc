// How long nobody is served: switchover, promotion after a death, automatic failover, the return of
// a big node. Numbers for docs/benchmarks.md; see docs/testing.md, "failover".
//
//   failover_bench --build DIR [--runs N]
//                  --part switchover|promote|automatic|app_killed|disk_full|rejoin|busy
//                  [--ack RULE] [--settings 'failover_profile = "lan"'] [--votes 1] [--keep FILE]
//
// --votes: voters elect in `switchover`, `promote` and `rejoin`, too. The last needs --ack
// durable:1 then: where commits wait for nobody, nobody is elected without an operator. --keep: the
// values are added to FILE, and what is printed is of all that are in it, so that many runs may be
// done in small parts.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/failover/cluster.h"
#include "tests/failover/program.h"
#include "tests/support/process/arguments.h"
#include "tests/support/process/database.h"

namespace {

using namespace tanist::torture;
using tanist::testing::Arguments;
using tanist::testing::Database;

constexpr double kMs = 1e6;

void must(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
}

// Milliseconds, one for each run.
class Sample {
  public:
    explicit Sample(std::string kept = "") : kept_(std::move(kept)) {
        std::ifstream earlier(kept_);
        for (double ms = 0; earlier >> ms;) all_.push_back(ms);
    }
    void add(double ms) {
        all_.push_back(ms);
        if (!kept_.empty()) std::ofstream(kept_, std::ios::app) << ms << '\n';
    }
    void print(const std::string& what) {
        if (all_.empty()) return;
        std::sort(all_.begin(), all_.end());
        std::printf("%s: %zu runs, ms: least %.1f, p50 %.1f, p90 %.1f, p99 %.1f, most %.1f\n",
                    what.c_str(), all_.size(), all_.front(), at(0.5), at(0.9), at(0.99),
                    all_.back());
    }

  private:
    double at(double share) const {
        const auto rank = static_cast<size_t>(share * static_cast<double>(all_.size()));
        return all_[std::min(rank, all_.size() - 1)];
    }
    std::string kept_;
    std::vector<double> all_;
};

// From the last acknowledgement of `old` to the first of anybody else after it.
Silence silence_after(const History& history, const std::string& old, int64_t from_ns) {
    Silence silence;
    for (const Operation& op : history) {
        if (op.outcome == Outcome::acknowledged && op.client == old && op.ended_ns >= from_ns) {
            silence.last_before_ns = std::max(silence.last_before_ns, op.ended_ns);
        }
    }
    for (const Operation& op : history) {
        if (op.outcome != Outcome::acknowledged || op.client == old) continue;
        if (op.ended_ns < silence.last_before_ns) continue;
        if (silence.first_after_ns == 0 || op.ended_ns < silence.first_after_ns) {
            silence.first_after_ns = op.ended_ns;
        }
    }
    must(silence.last_before_ns != 0 && silence.first_after_ns != 0, "nobody took over");
    return silence;
}

struct Bench {
    Cluster& cluster;
    int64_t runs = 0;
    bool automatic = false;
    bool votes = false;
    std::string kept = {};

    // Everything healthy, and the primary acknowledges.
    int begin_run() {
        must(cluster.converges(), "the nodes do not come together");
        const int primary = cluster.primary();
        cluster.start_clients();
        must(cluster.writes_soon(primary), "the primary acknowledges nothing");
        must(cluster.all_follow_soon(primary), "a node does not follow");
        return primary;
    }

    void switchovers() {
        Sample pause(kept);
        for (int64_t run = 0; run < runs; ++run) {
            const int old = begin_run();
            const int next = (old + 1) % Cluster::kNodes;
            const int64_t began = boot_ns() - static_cast<int64_t>(50 * kMs);
            const CommandEnd end = cluster.tanist(
                old, "switchover " + cluster.path(old) + " --to " + Network::endpoint(next));
            must(end.code == 0, end.text);
            must(cluster.writes_soon(next), "the new primary acknowledges nothing");
            cluster.stop_clients();
            pause.add(static_cast<double>(
                          silence_after(cluster.history(), Cluster::name(old), began).ns()) /
                      kMs);
        }
        pause.print("switchover, pause of writes");
    }

    // Where voters elect, an operator comes when nobody else does, and after the dead primary's
    // promise.
    void wait_for_the_operator(int dead) {
        const auto is_free = [&](int node) {
            const auto status = cluster.status(node);
            return status.contains("failover") &&
                   status["failover"].value("promise_seconds", nlohmann::json(0)).is_null();
        };
        must(soon([&] {
                 return is_free((dead + 1) % Cluster::kNodes) &&
                        is_free((dead + 2) % Cluster::kNodes);
             }),
             "the promise does not end");
    }

    // The whole node dies: daemon and application.
    void losses() {
        Sample command(automatic ? "" : kept);
        Sample whole(automatic ? kept : "");
        for (int64_t run = 0; run < runs; ++run) {
            const int old = begin_run();
            if (votes && !automatic) cluster.tanist(old, "pause " + cluster.path(old));
            const int64_t before = boot_ns() - static_cast<int64_t>(50 * kMs);
            cluster.kill_node(old);
            if (votes && !automatic) wait_for_the_operator(old);
            const int64_t asked = boot_ns();
            if (!automatic) {
                const std::string refused = cluster.promote_any(old);
                must(refused.empty(), refused);
            }
            must(cluster.any_writes_soon(), "nobody acknowledges anything");
            cluster.stop_clients();
            const Silence silence = silence_after(cluster.history(), Cluster::name(old), before);
            command.add(static_cast<double>(silence.first_after_ns - asked) / kMs);
            whole.add(static_cast<double>(silence.ns()) / kMs);
            cluster.start_daemon(old);
        }
        command.print(automatic ? "from SIGKILL to the first acknowledgement"
                                : "from `tanist promote` to the first acknowledgement");
        whole.print("from the last acknowledgement to the first");
    }

    // The machine and its daemon live; the application dies, or the disk takes nothing more.
    void unusable(bool full_disk) {
        Sample whole(kept);
        for (int64_t run = 0; run < runs; ++run) {
            const int old = begin_run();
            const int64_t before = boot_ns() - static_cast<int64_t>(50 * kMs);
            if (full_disk) {
                cluster.fill_disk(old);
            } else {
                cluster.kill_client(old);
            }
            must(soon([&] { return cluster.any_other_writes(old); }), "nobody takes over");
            cluster.stop_clients();
            if (full_disk) cluster.free_disk(old);
            whole.add(static_cast<double>(
                          silence_after(cluster.history(), Cluster::name(old), before).ns()) /
                      kMs);
        }
        whole.print("from the last acknowledgement to the first");
    }

    // Every processor is wanted by somebody else all the while: nobody may be replaced for that.
    void busy_machine(int64_t seconds) {
        const int primary = begin_run();
        const auto epoch = cluster.status(primary).value("epoch", uint64_t{0});
        std::vector<tanist::testing::Child> others;
        for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) {
            others.emplace_back(std::vector<std::string>{"sh", "-c", "while :; do :; done"},
                                tanist::testing::ChildOptions{});
        }
        std::this_thread::sleep_for(std::chrono::seconds(seconds));
        others.clear();
        cluster.stop_clients();
        must(cluster.converges(), "the nodes do not come together");
        std::vector<int64_t> ends;
        for (const Operation& op : cluster.history()) {
            if (op.outcome == Outcome::acknowledged) ends.push_back(op.ended_ns);
        }
        std::sort(ends.begin(), ends.end());
        int64_t longest = 0;
        for (size_t i = 1; i < ends.size(); ++i) longest = std::max(longest, ends[i] - ends[i - 1]);
        const int last = cluster.primary();
        std::printf(
            "%lld s with every processor busy: epoch %llu before, %llu after; %zu commits "
            "acknowledged, the longest time without one %.0f ms\n",
            static_cast<long long>(seconds), static_cast<unsigned long long>(epoch),
            static_cast<unsigned long long>(cluster.status(last).value("epoch", epoch)),
            ends.size(), static_cast<double>(longest) / kMs);
    }

    uint64_t wire_bytes(int node) {
        uint64_t sum = 0;
        for (const char* way : {"rx_bytes", "tx_bytes"}) {
            sum += std::stoull(tanist::testing::output_of(
                Network::on(node, {"cat", std::string("/sys/class/net/eth0/statistics/") + way})));
        }
        return sum;
    }

    // The others are away; an application without the extension changes 100 rows.
    void diverge(int node) {
        const uint64_t end = cluster.end_of(node);
        Database db;
        must(db.open(cluster.path(node), {}) == SQLITE_OK, db.trouble());
        for (int i = 0; i < 100; ++i) {
            must(db.run("UPDATE big SET x = randomblob(2000) WHERE id = 1 + abs(random() % "
                        "(SELECT max(id) FROM big))") == SQLITE_OK,
                 db.trouble());
        }
        db.close();
        must(soon([&] { return cluster.end_of(node) >= end + 100; }),
             "the commits are not captured");
    }

    // Another primary, which has commits of its own.
    int replace(int old) {
        if (!votes) {
            const std::string refused = cluster.promote_any(old);
            must(refused.empty(), refused);
        }
        must(cluster.one_primary_soon(old), "nobody is primary");
        const int holder = cluster.primary();
        Database db;
        must(db.open(cluster.path(holder), {}) == SQLITE_OK, db.trouble());
        must(db.run("UPDATE account SET balance = balance") == SQLITE_OK, db.trouble());
        db.close();
        return holder;
    }

    // A big node comes back with 100 commits that the others do not have: from the start of its
    // daemon until it has all that the new primary has.
    void rejoin() {
        Sample time(kept);
        for (int64_t run = 0; run < runs; ++run) {
            must(cluster.converges(), "the nodes do not come together");
            const int old = cluster.primary();
            const int others[] = {(old + 1) % Cluster::kNodes, (old + 2) % Cluster::kNodes};
            for (const int other : others) cluster.kill_daemon(other);
            diverge(old);
            cluster.kill_daemon(old);
            for (const int other : others) cluster.start_daemon(other);
            const int holder = replace(old);
            const uint64_t bytes = wire_bytes(old);
            const int64_t began = boot_ns();
            cluster.start_daemon(old);
            must(soon([&] {
                     const auto status = cluster.status(old);
                     return status.value("role", "") == "replica" &&
                            status.value("position", "") ==
                                cluster.status(holder).value("position", "-");
                 }),
                 "the node does not come back");
            const double ms = static_cast<double>(boot_ns() - began) / kMs;
            const uint64_t wire = wire_bytes(old) - bytes;
            const std::string tails =
                cluster.tanist(old, "diverged list " + cluster.path(old)).text;
            std::printf("run %lld: %.0f ms, %.2f MiB on the wire; diverged now:\n%s",
                        static_cast<long long>(run), ms, static_cast<double>(wire) / (1 << 20),
                        tails.c_str());
            std::fflush(stdout);
            time.add(ms);
        }
        time.print("return of a node with 100 diverged commits");
    }
};

void fill(const std::string& path, int64_t mebibytes) {
    Database db;
    must(db.open(path, {}) == SQLITE_OK, db.trouble());
    const std::string rows = std::to_string(mebibytes * 512);
    must(db.run("PRAGMA journal_mode=WAL; CREATE TABLE big(id INTEGER PRIMARY KEY, x BLOB);"
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT " +
                rows + ") INSERT INTO big SELECT i, randomblob(2000) FROM n;" +
                "PRAGMA wal_checkpoint(TRUNCATE)") == SQLITE_OK,
         db.trouble());
}

int play(Arguments& arguments, const std::string& directory) {
    ClusterOptions options;
    options.build = std::filesystem::absolute(arguments.text("build", "build"));
    const std::string part = arguments.text("part", "switchover");
    options.ack = arguments.text("ack", "async");
    const bool elects =
        part == "automatic" || part == "app_killed" || part == "disk_full" || part == "busy";
    options.automatic = elects || arguments.number("votes", 0) != 0;
    const std::string kept = arguments.text("keep", "");
    options.settings = arguments.text("settings", "") + "\n";
    const int64_t runs = arguments.number("runs", 20);
    const int64_t mebibytes = arguments.number("mebibytes", 1024);
    const int64_t seconds = arguments.number("seconds", 60);
    arguments.finish(0, "failover_bench --build DIR --part switchover; see docs/testing.md");
    if (part == "rejoin") options.disk_bytes = "";
    Cluster cluster(options, directory);
    if (part == "rejoin") {
        std::filesystem::create_directories(directory + "/a");
        fill(cluster.path(0), mebibytes);
    }
    cluster.found();
    Bench bench{cluster, runs, elects, options.automatic, kept};
    if (part == "switchover") {
        bench.switchovers();
    } else if (part == "promote" || part == "automatic") {
        bench.losses();
    } else if (part == "app_killed" || part == "disk_full") {
        bench.unusable(part == "disk_full");
    } else if (part == "rejoin") {
        bench.rejoin();
    } else if (part == "busy") {
        bench.busy_machine(seconds);
    } else {
        throw std::runtime_error("no part is named " + part);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    return play_in_directory(argc, argv, "/var/tmp/tanist-failover-XXXXXX", play);
}
