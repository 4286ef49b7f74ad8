// (a) What replication costs the application: the same load on a stock database and on a replicated
// one, in turn.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/bench/rig.h"
#include "tests/support/process/database.h"
#include "tests/support/process/engine.h"

namespace tanist::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kRows = 100'000;

struct Shape {
    std::string kind;
    std::string sync;
    int threads = 1;
    bool pinned = true;
    bool outside = false;  // the application does not load the extension
    std::string name() const {
        return kind + " " + sync + " " + std::to_string(threads) + "t" +
               (pinned ? " pinned" : " unpinned") + (outside ? " outside" : "");
    }
};

struct Run {
    double seconds = 0;
    double cpu_seconds = 0;
    double wal_mib = 0;
};

void make_database(const std::string& path) {
    testing::Database db;
    db.open(path, {});
    const int rc = db.run(
        "PRAGMA journal_mode=WAL; BEGIN;"
        "CREATE TABLE event(id INTEGER PRIMARY KEY, account INTEGER, amount INTEGER, note TEXT);"
        "CREATE INDEX event_account ON event(account);"
        "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, owner TEXT);"
        "CREATE TABLE mark(run INTEGER); INSERT INTO mark VALUES(0);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" +
        std::to_string(kRows) +
        ") INSERT INTO account SELECT i, 0, 'owner of account '||i FROM n; COMMIT;"
        "PRAGMA wal_checkpoint(TRUNCATE)");
    if (rc != SQLITE_OK) std::fprintf(stderr, "bench: %s\n", db.trouble().c_str());
}

double mib_of(const std::string& path) {
    struct stat facts {};
    return ::stat(path.c_str(), &facts) == 0 ? static_cast<double>(facts.st_size) / 1048576 : 0;
}

class Load {
  public:
    Load(const Setting& setting, const Shape& shape, int cpu)
        : setting_(setting), shape_(shape), cpu_(cpu) {}
    bool outside() const { return shape_.outside; }
    Run run(const std::string& path, int64_t commits, int64_t number,
            const std::vector<std::string>& more) const {
        std::vector<std::string> command = {setting_.tools + "/bench_load",
                                            path,
                                            "--kind",
                                            shape_.kind,
                                            "--sync",
                                            shape_.sync,
                                            "--threads",
                                            std::to_string(shape_.threads),
                                            "--commits",
                                            std::to_string(commits),
                                            "--run",
                                            std::to_string(number),
                                            "--rows",
                                            std::to_string(kRows)};
        command.insert(command.end(), more.begin(), more.end());
        testing::ChildOptions options;
        options.talk = true;
        options.cpu = cpu_;
        testing::Child child(command, options);
        Run result;
        std::string said;
        while (!child.poll_end()) {
            if (const auto line = child.read_line(milliseconds(20))) said = *line;
            result.wal_mib = std::max(result.wal_mib, mib_of(path + "-wal"));
        }
        // It may have ended between a look for its line and a look for its end.
        while (const auto line = child.read_line(milliseconds(0))) said = *line;
        if (*child.poll_end() != 0 ||
            std::sscanf(said.c_str(), "%lf %lf", &result.seconds, &result.cpu_seconds) != 2) {
            std::fprintf(stderr, "bench: bench_load failed on %s\n", path.c_str());
            std::_Exit(1);
        }
        return result;
    }

  private:
    const Setting& setting_;
    const Shape& shape_;
    int cpu_;
};

struct Totals {
    Series ratio, stock_rate, tanist_rate, cpu_ratio, wal_mib, catch_up;
    Series engine_us, replica_us;  // CPU per commit
    bool equal = true;
};

void run_pair(const Load& load, Rig& rig, const std::string& stock, int64_t commits, int64_t number,
              Totals& totals) {
    Run runs[2];
    double engine = 0;
    double replica = 0;
    for (int turn = 0; turn < 2; ++turn) {
        // Who begins changes from pair to pair.
        const bool tanist = (turn == 1) != (number % 2 == 1);
        const int64_t before_engine = testing::cpu_ns(rig.engine_pid());
        const int64_t before_replica = testing::cpu_ns(rig.replica_pid());
        const auto more = load.outside() || !tanist ? std::vector<std::string>{} : rig.shim();
        runs[tanist] = load.run(tanist ? rig.primary() : stock, commits, number, more);
        if (!tanist) continue;
        const auto caught = rig.seconds_until("SELECT run FROM mark", number, seconds(60));
        totals.catch_up.add(caught.value_or(60));
        totals.equal = totals.equal && caught.has_value();
        engine = static_cast<double>(testing::cpu_ns(rig.engine_pid()) - before_engine);
        replica = static_cast<double>(testing::cpu_ns(rig.replica_pid()) - before_replica);
    }
    const double count = static_cast<double>(commits);
    totals.stock_rate.add(count / runs[0].seconds);
    totals.tanist_rate.add(count / runs[1].seconds);
    totals.ratio.add(runs[0].seconds / runs[1].seconds);
    totals.cpu_ratio.add(runs[1].cpu_seconds / runs[0].cpu_seconds);
    totals.wal_mib.add(runs[1].wal_mib);
    totals.engine_us.add(engine / 1000 / count);
    totals.replica_us.add(replica / 1000 / count);
}

Totals run_shape(const Setting& setting, const Shape& shape, Report& report) {
    const Pinning pinning = shape.pinned ? Pinning{0, 1} : Pinning{-1, -1};
    Rig rig(setting, "throughput", pinning);
    const std::string stock = setting.directory + "/throughput/stock.db";
    make_database(rig.primary());
    make_database(stock);
    rig.start_replica();
    rig.start_engine();
    rig.seconds_until("SELECT run FROM mark", 0, seconds(60));
    const Load load(setting, shape, pinning.application);
    // As many commits as stock SQLite makes in the wanted time; the same for both.
    const Run trial = load.run(stock, 2000, 0, {});
    const auto commits =
        std::max<int64_t>(500, static_cast<int64_t>(2000 / trial.seconds * setting.seconds));
    Totals totals;
    for (int pair = 1; pair <= setting.pairs; ++pair) {
        run_pair(load, rig, stock, commits, pair, totals);
    }
    totals.equal = totals.equal && rig.equal();
    report.line("throughput", shape.name(),
                {{"ratio", totals.ratio.median()},
                 {"ratio_least", totals.ratio.least()},
                 {"ratio_most", totals.ratio.most()},
                 {"cpu_ratio", totals.cpu_ratio.median()},
                 {"stock_per_s", totals.stock_rate.median()},
                 {"tanist_per_s", totals.tanist_rate.median()},
                 {"wal_mib_most", totals.wal_mib.most()},
                 {"catch_up_s_most", totals.catch_up.most()},
                 {"engine_us_per_commit", totals.engine_us.median()},
                 {"replica_us_per_commit", totals.replica_us.median()},
                 {"pairs", static_cast<double>(totals.ratio.count())},
                 {"commits", static_cast<double>(commits)},
                 {"equal", totals.equal ? 1.0 : 0.0}});
    return totals;
}

}  // namespace

void run_throughput(const Setting& setting, Report& report) {
    bool fast = true;
    bool cheap = true;
    bool bounded = true;
    bool equal = true;
    for (const bool pinned : {true, false}) {
        for (const char* kind : {"insert", "update"}) {
            for (const char* sync : {"NORMAL", "FULL"}) {
                for (const int threads : {1, 4}) {
                    const Shape shape{kind, sync, threads, pinned, false};
                    if (shape.name().find(setting.only) == std::string::npos) continue;
                    const Totals totals = run_shape(setting, shape, report);
                    fast = fast && (!pinned || totals.ratio.median() >= 0.95);
                    cheap = cheap && (!pinned || totals.cpu_ratio.median() <= 1.05);
                    bounded = bounded && totals.wal_mib.most() <= 128;
                    equal = equal && totals.equal && totals.catch_up.most() <= 5;
                }
            }
        }
    }
    // Reported without a bound of their own: an application that knows nothing of us.
    for (const char* kind : {"insert", "update"}) {
        for (const int threads : {1, 4}) {
            const Shape shape{kind, "NORMAL", threads, true, true};
            if (shape.name().find(setting.only) == std::string::npos) continue;
            const Totals totals = run_shape(setting, shape, report);
            bounded = bounded && totals.wal_mib.most() <= 128;
            equal = equal && totals.equal && totals.catch_up.most() <= 5;
        }
    }
    report.verdict("throughput", "application throughput >= 0.95 of stock, pinned", fast);
    report.verdict("throughput", "application CPU per commit <= 1.05 of stock, pinned", cheap);
    report.verdict("throughput", "the WAL stays below twice wal_bytes_max (128 MiB)", bounded);
    report.verdict("throughput", "the replica is equal within 5 s after the load", equal);
}

}  // namespace tanist::bench
