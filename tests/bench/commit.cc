// (f) What waiting for a replica costs: commit latency of one writer against the floor of this
// machine (bench_floor), and how many commits a second many waiting writers make together.
#include <cstdio>
#include <cstdlib>

#include "tests/bench/rig.h"
#include "tests/support/process/database.h"

namespace tanist::bench {
namespace {

using std::chrono::seconds;

struct Figures {
    double per_second = 0;
    double p50_us = 0;
    double p99_us = 0;
};

struct Shape {
    std::string sync;
    std::string ack;   // "": stock SQLite
    std::string mode;  // "": stock SQLite
    int threads = 1;
};

std::string said_by(const std::vector<std::string>& command) {
    testing::ChildOptions options;
    options.talk = true;
    testing::Child child(command, options);
    const auto line = child.read_line(seconds(120));
    if (child.wait_end(seconds(20)) != 0 || !line) {
        std::fprintf(stderr, "bench: %s failed\n", command[0].c_str());
        std::_Exit(1);
    }
    return *line;
}

class Bench {
  public:
    explicit Bench(const Setting& setting, Wire wire = Wire::ipc)
        : setting_(setting), rig_(setting, name_of(wire), {}, wire) {
        stock_ = setting.directory + "/" + name_of(wire) + "/stock.db";
        for (const std::string& path : {rig_.primary(), stock_}) make_database(path);
        rig_.start_replica();
        rig_.start_engine();
        rig_.seconds_until("SELECT count(*) FROM account", kRows, seconds(60));
    }

    Figures commits(const Shape& shape, int64_t count) {
        std::vector<std::string> command = {setting_.tools + "/bench_commit",
                                            shape.ack.empty() ? stock_ : rig_.primary(),
                                            "--sync",
                                            shape.sync,
                                            "--threads",
                                            std::to_string(shape.threads),
                                            "--commits",
                                            std::to_string(setting_.quick ? 100 : count),
                                            "--run",
                                            std::to_string(++runs_)};
        if (!shape.ack.empty()) {
            for (const std::string& word : rig_.shim()) command.push_back(word);
            command.insert(command.end(), {"--ack", shape.ack, "--mode", shape.mode});
        }
        Figures found;
        std::sscanf(said_by(command).c_str(), "%lf %lf %lf", &found.per_second, &found.p50_us,
                    &found.p99_us);
        return found;
    }

    Figures floor(bool local_sync, bool zeromq = false) {
        std::vector<std::string> command = {setting_.tools + "/bench_floor",
                                            setting_.directory,
                                            "--bytes",
                                            std::to_string(kRecordBytes),
                                            "--commits",
                                            std::to_string(setting_.quick ? 100 : 2000)};
        if (local_sync) command.push_back("--local-sync");
        if (zeromq) command.push_back("--zeromq");
        Figures found;
        std::sscanf(said_by(command).c_str(), "%lf %lf", &found.p50_us, &found.p99_us);
        return found;
    }

  private:
    static constexpr int64_t kRows = 1000;
    // One page of 4096 bytes as a record: header, page number, padding.
    static constexpr int64_t kRecordBytes = 192 + 8 + 4096;

    static const char* name_of(Wire wire) {
        if (wire == Wire::ipc) return "commit";
        return wire == Wire::tcp ? "commit-tcp" : "commit-curve";
    }
    static void make_database(const std::string& path) {
        testing::Database db;
        db.open(path, {});
        db.run(
            "PRAGMA journal_mode=WAL;"
            "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, owner TEXT);"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000)"
            " INSERT INTO account SELECT i, 0, 'owner of account '||i FROM n");
    }

    const Setting& setting_;
    Rig rig_;
    std::string stock_;
    int64_t runs_ = 0;
};

void latency_against_floor(Bench& bench, const Setting& setting, const std::string& sync,
                           Report& report) {
    const Shape shape{sync, "durable:1", "before_visible", 1};
    Series ratio, of_zeromq, ours_p50, ours_p99, floor_p50, floor_p99, zeromq_p50;
    for (int pair = 0; pair < setting.pairs; ++pair) {
        const bool ours_first = pair % 2 == 0;
        Figures ours;
        if (ours_first) ours = bench.commits(shape, 2000);
        const Figures floor = bench.floor(sync == "FULL");
        if (!ours_first) ours = bench.commits(shape, 2000);
        const Figures zeromq = bench.floor(sync == "FULL", true);
        ratio.add(ours.p50_us / floor.p50_us);
        of_zeromq.add(ours.p50_us / zeromq.p50_us);
        zeromq_p50.add(zeromq.p50_us);
        ours_p50.add(ours.p50_us);
        ours_p99.add(ours.p99_us);
        floor_p50.add(floor.p50_us);
        floor_p99.add(floor.p99_us);
    }
    report.line("commit", "durable:1 before_visible " + sync + " 1t",
                {{"ratio", ratio.median()},
                 {"ratio_least", ratio.least()},
                 {"ratio_most", ratio.most()},
                 {"p50_us", ours_p50.median()},
                 {"p99_us", ours_p99.median()},
                 {"floor_p50_us", floor_p50.median()},
                 {"floor_p99_us", floor_p99.median()},
                 {"of_zeromq_floor", of_zeromq.median()},
                 {"zeromq_floor_p50_us", zeromq_p50.median()},
                 {"pairs", static_cast<double>(ratio.count())}});
    report.verdict("commit", "durable:1, one writer, " + sync + ": median <= 1.25 of the floor",
                   ratio.median() <= 1.25);
}

void many_writers(Bench& bench, const Setting& setting, const std::string& sync, Report& report) {
    Series gain, of_stock, one_rate, many_rate, stock_rate;
    for (int pair = 0; pair < setting.pairs; ++pair) {
        const Figures one = bench.commits({sync, "durable:1", "pipelined", 1}, 3000);
        const Figures many = bench.commits({sync, "durable:1", "pipelined", 16}, 20'000);
        const Figures stock = bench.commits({"FULL", "", "", 16}, 10'000);
        gain.add(many.per_second / one.per_second);
        of_stock.add(many.per_second / stock.per_second);
        one_rate.add(one.per_second);
        many_rate.add(many.per_second);
        stock_rate.add(stock.per_second);
    }
    report.line("commit", "durable:1 pipelined " + sync + " 16t",
                {{"of_1_writer", gain.median()},
                 {"of_1_writer_least", gain.least()},
                 {"of_stock_full_16t", of_stock.median()},
                 {"of_stock_least", of_stock.least()},
                 {"per_s_1t", one_rate.median()},
                 {"per_s_16t", many_rate.median()},
                 {"stock_full_per_s_16t", stock_rate.median()},
                 {"pairs", static_cast<double>(gain.count())}});
    report.verdict("commit", "pipelined, " + sync + ": 16 writers >= 5 times 1 writer",
                   gain.median() >= 5);
    report.verdict("commit", "pipelined, " + sync + ": 16 writers >= 0.8 of stock FULL",
                   of_stock.median() >= 0.8);
}

// PostgreSQL with one synchronous standby, by tests/bench/postgres, which has started it.
Figures postgres(const Setting& setting, int clients) {
    const std::string how_long = setting.quick ? "1" : "4";
    Figures found;
    std::sscanf(said_by({setting.postgres, "measure", std::to_string(clients), how_long}).c_str(),
                "%lf %lf %lf", &found.per_second, &found.p50_us, &found.p99_us);
    return found;
}

// One level of ours beside PostgreSQL.
struct Beside {
    std::string sync;
    Series latency, ours_us, theirs_us, rate, ours_rate, theirs_rate;
};

void tell(const Beside& level, Report& report) {
    report.line("postgres", "1 client, " + level.sync + ", durable:1",
                {{"latency_ratio", level.latency.median()},
                 {"ratio_least", level.latency.least()},
                 {"ratio_most", level.latency.most()},
                 {"p50_us", level.ours_us.median()},
                 {"postgres_p50_us", level.theirs_us.median()}});
    report.line("postgres", "16 clients, " + level.sync + ", durable:1",
                {{"rate_ratio", level.rate.median()},
                 {"ratio_least", level.rate.least()},
                 {"ratio_most", level.rate.most()},
                 {"per_s", level.ours_rate.median()},
                 {"postgres_per_s", level.theirs_rate.median()}});
    report.verdict("postgres", level.sync + ": median commit latency at 1 client at least as good",
                   level.latency.median() <= 1);
    report.verdict("postgres", level.sync + ": commits a second at 16 clients at least as good",
                   level.rate.median() >= 1);
}

}  // namespace

void run_postgres(const Setting& setting, Report& report) {
    if (setting.postgres.empty()) return;  // only tests/bench/postgres can start it
    Bench bench(setting);
    // In both levels a commit that returned is durable here, too: in the WAL, or in our own log.
    std::vector<Beside> levels(2);
    levels[0].sync = "NORMAL";
    levels[1].sync = "FULL";
    for (int pair = 0; pair < setting.pairs; ++pair) {
        const Figures their_one = postgres(setting, 1);
        const Figures their_many = postgres(setting, 16);
        for (Beside& level : levels) {
            const Figures one = bench.commits({level.sync, "durable:1", "before_visible", 1}, 3000);
            const Figures many = bench.commits({level.sync, "durable:1", "pipelined", 16}, 15'000);
            level.latency.add(one.p50_us / their_one.p50_us);
            level.ours_us.add(one.p50_us);
            level.theirs_us.add(their_one.p50_us);
            level.rate.add(many.per_second / their_many.per_second);
            level.ours_rate.add(many.per_second);
            level.theirs_rate.add(their_many.per_second);
        }
    }
    for (const Beside& level : levels) tell(level, report);
}

namespace {

void latency_with_curve(const Setting& setting, Report& report) {
    Bench plain(setting, Wire::tcp);
    Bench curve(setting, Wire::curve);
    const Shape shape{"NORMAL", "durable:1", "before_visible", 1};
    Series ratio, plain_us, curve_us;
    for (int pair = 0; pair < setting.pairs; ++pair) {
        const bool plain_first = pair % 2 == 0;
        Figures without;
        if (plain_first) without = plain.commits(shape, 2000);
        const Figures with = curve.commits(shape, 2000);
        if (!plain_first) without = plain.commits(shape, 2000);
        ratio.add(with.p50_us / without.p50_us);
        plain_us.add(without.p50_us);
        curve_us.add(with.p50_us);
    }
    report.line("curve", "durable:1 before_visible NORMAL 1t",
                {{"ratio", ratio.median()},
                 {"ratio_least", ratio.least()},
                 {"ratio_most", ratio.most()},
                 {"curve_p50_us", curve_us.median()},
                 {"plain_p50_us", plain_us.median()}});
    report.verdict("curve", "durable:1 with CURVE: median latency <= 1.15 of plain tcp",
                   ratio.median() <= 1.15);
}

// Two links of one process, on threads of their own, and nothing else: what a connection carries.
void links_with_curve(const Setting& setting, Report& report) {
    const auto link = [&](const std::string& what, const std::string& how) {
        double figure = 0;
        std::sscanf(said_by({setting.tools + "/bench_link", what, how}).c_str(), "%lf", &figure);
        return figure;
    };
    Series plain, curve, few, many;
    for (int pair = 0; pair < setting.pairs; ++pair) {
        plain.add(link("stream", "plain"));
        curve.add(link("stream", "curve"));
        few.add(link("handshake", "1"));
        many.add(link("handshake", "1000"));
    }
    report.line("curve", "stream of 256 KiB messages, one way",
                {{"curve_mb_s", curve.median()},
                 {"curve_least", curve.least()},
                 {"plain_mb_s", plain.median()}});
    report.verdict("curve", "one connection with CURVE carries >= 400 MB/s", curve.median() >= 400);
    report.line("curve", "handshake and first answer",
                {{"members_1_us", few.median()},
                 {"members_1000_us", many.median()},
                 {"more_us", many.median() - few.median()}});
    report.verdict("curve", "1,000 members' keys cost <= 1 ms per handshake",
                   many.median() - few.median() <= 1000);
}

}  // namespace

void run_curve(const Setting& setting, Report& report) {
    latency_with_curve(setting, report);
    links_with_curve(setting, report);
}

void run_commit(const Setting& setting, Report& report) {
    Bench bench(setting);
    latency_against_floor(bench, setting, "NORMAL", report);
    latency_against_floor(bench, setting, "FULL", report);
    many_writers(bench, setting, "NORMAL", report);
    many_writers(bench, setting, "FULL", report);
}

}  // namespace tanist::bench
