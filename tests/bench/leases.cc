// (h) What leases cost: the same load in turn on a group that elects its primary and on one where
// nobody votes. Both have a primary and a replica with the same settings; the first has a witness,
// renewals, and a gate that looks at a deadline.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/bench/rig.h"
#include "tests/support/process/database.h"
#include "tests/support/process/engine.h"

namespace tanist::bench {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::Child;

constexpr int64_t kRows = 1000;
// Short turns, and many of them: the machine changes its speed more slowly than that.
constexpr int kSlicesOfASecond = 16;

struct Shape {
    const char* name;
    const char* ack;
    const char* mode;
    int threads;
};
constexpr Shape kShapes[] = {
    {"async NORMAL 1t pinned", "async", "pipelined", 1},
    {"async NORMAL 4t pinned", "async", "pipelined", 4},
    {"durable:1 pipelined NORMAL 16t pinned", "durable:1", "pipelined", 16}};

struct Run {
    double per_second = 0;
    double cpu = 0;  // seconds, of the application with its start and end
};

// Of all children that have ended.
double children_cpu() {
    rusage used{};
    ::getrusage(RUSAGE_CHILDREN, &used);
    const auto seconds_of = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

class Group {
  public:
    Group(const Setting& setting, const std::string& name, bool votes)
        : setting_(setting), directory_(setting.directory + "/" + name), votes_(votes) {
        std::filesystem::create_directories(directory_);
        make_database();
        tanist({"init", path("a")});
        std::ofstream(path("a") + "-tanist/tanist.toml") << "ack = \"durable:1\"\n";
        start("b", {});
        tanist({"members", "add", path("a"), endpoint("b")});
        if (votes_) {
            start("w", {"--witness"});
            tanist({"members", "add", path("a"), endpoint("w"), "--witness"});
        }
        start("a", {});
        const auto give_up_at = steady_clock::now() + seconds(60);
        while (!serves()) {
            if (steady_clock::now() > give_up_at) give_up("the primary takes no commits");
            ::usleep(10'000);
        }
    }
    ~Group() {
        for (Child& daemon : daemons_) daemon.signal(SIGTERM);
        for (Child& daemon : daemons_) daemon.wait_end(seconds(20));
    }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    // Nothing: they were not let through.
    std::optional<Run> commits(const Shape& shape, int64_t count) {
        const std::vector<std::string> command = {setting_.tools + "/bench_commit",
                                                  path("a"),
                                                  "--sync",
                                                  "NORMAL",
                                                  "--ack",
                                                  shape.ack,
                                                  "--mode",
                                                  shape.mode,
                                                  "--threads",
                                                  std::to_string(shape.threads),
                                                  "--commits",
                                                  std::to_string(count),
                                                  "--rows",
                                                  std::to_string(kRows),
                                                  "--run",
                                                  std::to_string(++runs_),
                                                  "--extension",
                                                  setting_.build + "/tanist.so",
                                                  "--uri",
                                                  "vfs=tanist"};
        testing::ChildOptions options;
        options.log = directory_ + "/commits.log";
        options.talk = true;
        options.cpu = 0;
        const double cpu_before = children_cpu();
        Child child(command, options);
        const auto line = child.read_line(seconds(120));
        Run run;
        if (child.wait_end(seconds(20)) != 0 || !line) return std::nullopt;
        if (std::sscanf(line->c_str(), "%lf", &run.per_second) != 1) return std::nullopt;
        run.cpu = children_cpu() - cpu_before;
        return run;
    }
    Run must_commit(const Shape& shape, int64_t count) {
        const auto run = commits(shape, count);
        if (!run) give_up("bench_commit failed");
        return *run;
    }
    // What one group still has to ship must not slow the other one down.
    void come_to_rest() const {
        uint64_t before = 0;
        for (int look = 0; look < 2000; ++look) {
            const uint64_t captured = testing::read_engine_totals(path("a")).lsn;
            const bool there = testing::read_engine_totals(path("b")).lsn == captured;
            if (there && captured == before) return;
            before = captured;
            ::usleep(10'000);
        }
        give_up("the replica does not catch up");
    }
    // Seconds of all daemons until now.
    double daemon_cpu() const {
        int64_t sum = 0;
        for (const Child& daemon : daemons_) sum += testing::cpu_ns(daemon.pid());
        return static_cast<double>(sum) / 1e9;
    }

  private:
    std::string path(const std::string& node) const { return directory_ + "/" + node + ".db"; }
    std::string endpoint(const std::string& node) const {
        return "ipc://" + directory_ + "/" + node + ".sock";
    }
    [[noreturn]] void give_up(const std::string& why) const {
        std::fprintf(stderr, "bench: %s; logs are in %s\n", why.c_str(), directory_.c_str());
        std::_Exit(1);
    }
    // With a lease, where voters give one.
    bool serves() {
        const std::string said =
            testing::output_of({setting_.build + "/tanist", "status", path("a")});
        const bool elected = said.find("this node is primary, gate open") != std::string::npos;
        return (elected || !votes_) && commits(kShapes[0], 10).has_value();
    }
    void make_database() const {
        testing::Database db;
        db.open(path("a"), {});
        const int rc = db.run(
            "PRAGMA journal_mode=WAL;"
            "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, owner TEXT);"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" +
            std::to_string(kRows) +
            ") INSERT INTO account SELECT i, 0, 'owner of account '||i FROM n");
        if (rc != SQLITE_OK) give_up(db.trouble());
    }
    void tanist(std::vector<std::string> command) const {
        command.insert(command.begin(), setting_.build + "/tanist");
        testing::ChildOptions options;
        options.log = directory_ + "/tanist.log";
        if (testing::run(command, options) != 0) give_up(command[1] + " failed");
    }
    void start(const std::string& node, const std::vector<std::string>& more) {
        std::vector<std::string> command = {setting_.build + "/tanistd", "--db", path(node),
                                            "--listen", endpoint(node)};
        if (votes_) command.insert(command.end(), {"--failover", "automatic"});
        command.insert(command.end(), more.begin(), more.end());
        testing::ChildOptions options;
        options.log = directory_ + "/" + node + ".log";
        options.talk = true;
        options.cpu = 1;
        daemons_.emplace_back(command, options);
        if (!daemons_.back().read_line(seconds(20))) give_up(node + " did not come up");
    }

    const Setting& setting_;
    std::string directory_;
    bool votes_;
    std::vector<Child> daemons_;
    int64_t runs_ = 0;
};

// Half the width of an interval that holds the median nine times out of ten or more (McGill's
// notch).
double doubt(const Series& series) {
    const double middle_half = series.quantile(0.75) - series.quantile(0.25);
    return 1.57 * middle_half / std::sqrt(static_cast<double>(series.count()));
}

bool run_shape(const Setting& setting, const Shape& shape, Group& plain, Group& leased,
               Report& report) {
    const double trial = plain.must_commit(shape, 2000).per_second;
    leased.must_commit(shape, 2000);
    const auto count = std::max<int64_t>(200, static_cast<int64_t>(trial / kSlicesOfASecond));
    const int slices = static_cast<int>(setting.seconds * kSlicesOfASecond) * setting.pairs;
    Series ratio, cpu_ratio, plain_rate, leased_rate;
    double idle_cpu[2] = {};
    double idle_time[2] = {};
    for (int slice = 0; slice < slices; ++slice) {
        Run runs[2] = {};
        for (int turn = 0; turn < 2; ++turn) {
            const bool with = (turn == 1) != (slice % 2 == 1);
            Group& group = with ? leased : plain;
            const Group& idle = with ? plain : leased;
            const double cpu = idle.daemon_cpu();
            runs[with] = group.must_commit(shape, count);
            idle_cpu[!with] += idle.daemon_cpu() - cpu;
            idle_time[!with] += static_cast<double>(count) / runs[with].per_second;
            group.come_to_rest();
        }
        ratio.add(runs[1].per_second / runs[0].per_second);
        cpu_ratio.add(runs[1].cpu / runs[0].cpu);
        plain_rate.add(runs[0].per_second);
        leased_rate.add(runs[1].per_second);
    }
    report.line("leases", shape.name,
                {{"ratio", ratio.median()},
                 {"doubt", doubt(ratio)},
                 {"quarter", ratio.quantile(0.25)},
                 {"three_quarters", ratio.quantile(0.75)},
                 {"ratio_least", ratio.least()},
                 {"ratio_most", ratio.most()},
                 {"cpu_ratio", cpu_ratio.median()},
                 {"cpu_doubt", doubt(cpu_ratio)},
                 {"without_per_s", plain_rate.median()},
                 {"with_per_s", leased_rate.median()},
                 {"idle_without", idle_cpu[0] / idle_time[0]},
                 {"idle_with", idle_cpu[1] / idle_time[1]},
                 {"pairs", static_cast<double>(ratio.count())}});
    // An application that waits for nobody fills its core, so what a commit costs it in processor
    // is what the rate loses; that is much less noisy. The rate must not say otherwise.
    return cpu_ratio.median() <= 1.01 && ratio.median() + doubt(ratio) >= 0.99;
}

}  // namespace

void run_leases(const Setting& setting, Report& report) {
    Group plain(setting, "without", false);
    Group leased(setting, "with", true);
    bool cheap = true;
    for (const Shape& shape : kShapes) {
        if (std::string(shape.name).find(setting.only) == std::string::npos) continue;
        cheap = run_shape(setting, shape, plain, leased, report) && cheap;
    }
    report.verdict("leases", "leases cost <= 1 % of throughput", cheap);
}

}  // namespace tanist::bench
