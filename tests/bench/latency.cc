// (b) How old the replica's view is: commit to readable, at 500 commits a second.
#include <cstdio>
#include <sstream>

#include "tests/bench/rig.h"
#include "tests/support/process/database.h"

namespace tanist::bench {
namespace {

using std::chrono::seconds;

struct Latencies {
    Series after_return;  // milliseconds
    Series after_call;
};

Latencies measure(const Setting& setting, Rig& rig, int cpu) {
    std::vector<std::string> command = {setting.tools + "/bench_latency", rig.primary(),
                                        rig.replica(), "--seconds", setting.quick ? "2" : "10"};
    for (const std::string& word : rig.shim()) command.push_back(word);
    testing::ChildOptions options;
    options.talk = true;
    options.cpu = cpu;
    testing::Child child(command, options);
    Latencies found;
    while (const auto line = child.read_line(seconds(150))) {
        std::istringstream numbers(*line);
        double after_return = 0;
        double after_call = 0;
        numbers >> after_return >> after_call;
        found.after_return.add(after_return / 1e6);
        found.after_call.add(after_call / 1e6);
    }
    return found;
}

}  // namespace

void run_latency(const Setting& setting, Report& report) {
    for (const bool pinned : {false, true}) {
        Rig rig(setting, "latency", pinned ? Pinning{0, 1} : Pinning{});
        {
            testing::Database db;
            db.open(rig.primary(), {});
            db.run("PRAGMA journal_mode=WAL; CREATE TABLE tick(n); INSERT INTO tick VALUES(1)");
        }
        rig.start_replica();
        rig.start_engine();
        rig.seconds_until("SELECT n FROM tick", 1, seconds(30));
        Series p50;
        Series p99;
        Series worst;
        Series p50_call;
        for (int run = 0; run < setting.pairs; ++run) {
            const Latencies found = measure(setting, rig, pinned ? 0 : -1);
            p50.add(found.after_return.quantile(0.5));
            p99.add(found.after_return.quantile(0.99));
            worst.add(found.after_return.most());
            p50_call.add(found.after_call.quantile(0.5));
        }
        report.line("latency", std::string("500 commits/s ") + (pinned ? "pinned" : "unpinned"),
                    {{"p50_ms", p50.median()},
                     {"p50_ms_most", p50.most()},
                     {"p99_ms", p99.median()},
                     {"p99_ms_most", p99.most()},
                     {"worst_ms", worst.most()},
                     {"p50_ms_from_call", p50_call.median()},
                     {"runs", static_cast<double>(p50.count())}});
        const bool met = p50.median() <= 1 && p99.median() <= 10 && p50.median() > 0;
        report.verdict("latency", "commit to readable: p50 <= 1 ms, p99 <= 10 ms", met);
    }
}

}  // namespace tanist::bench
