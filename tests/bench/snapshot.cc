// (d) A new replica of a large database, against rsync of the same file, in turn; and the memory of
// both daemons. (e) What the daemons use when nothing happens.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tests/bench/rig.h"
#include "tests/support/process/database.h"
#include "tests/support/process/engine.h"

namespace tanist::bench {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// Random bytes, so that nothing on the way can compress or skip them.
void make_large(const std::string& path, int64_t mib) {
    testing::Database db;
    db.open(path, {});
    db.run(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE large(body BLOB);"
        "CREATE TABLE mark(run INTEGER); INSERT INTO mark VALUES(0)");
    for (int64_t done = 0; done < mib; done += 16) {
        db.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<16)"
            "INSERT INTO large SELECT randomblob(1048000) FROM n");
    }
    db.run("UPDATE mark SET run=1; PRAGMA wal_checkpoint(TRUNCATE)");
}

double time_rsync(const std::string& from, const std::string& to) {
    const auto start = steady_clock::now();
    if (testing::run({"rsync", "-W", from, to}, {}) != 0) {
        std::fprintf(stderr, "bench: rsync failed; is it installed?\n");
        std::_Exit(1);
    }
    const double took = std::chrono::duration<double>(steady_clock::now() - start).count();
    std::filesystem::remove(to);
    return took;
}

struct Sync {
    double seconds = 0;
    double engine_mib = 0;
    double replica_mib = 0;
    double engine_private_mib = 0;
    double replica_private_mib = 0;
    bool equal = false;
};

// From the start of the empty replica until a stock reader finds the last row in it.
Sync time_sync(Rig& rig) {
    const auto start = steady_clock::now();
    rig.start_replica();
    Sync sync;
    const bool there = rig.seconds_until("SELECT run FROM mark", 1, seconds(600)).has_value();
    sync.seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
    const auto mib = [](pid_t pid, const char* name) {
        return static_cast<double>(testing::status_kib(pid, name)) / 1024;
    };
    sync.engine_mib = mib(rig.engine_pid(), "VmHWM");
    sync.replica_mib = mib(rig.replica_pid(), "VmHWM");
    sync.engine_private_mib = mib(rig.engine_pid(), "RssAnon");
    sync.replica_private_mib = mib(rig.replica_pid(), "RssAnon");
    sync.equal = there && rig.equal();
    return sync;
}

}  // namespace

void run_snapshot(const Setting& setting, Report& report) {
    const std::string original = setting.directory + "/large.db";
    make_large(original, setting.snapshot_mib);
    Series ratio, rsync_seconds, sync_seconds, engine_mib, replica_mib, engine_own, replica_own;
    bool equal = true;
    for (int pair = 0; pair < setting.pairs; ++pair) {
        rsync_seconds.add(time_rsync(original, setting.directory + "/copy.db"));
        Rig rig(setting, "snapshot", {});
        std::filesystem::copy_file(original, rig.primary());
        rig.start_engine();
        const Sync sync = time_sync(rig);
        sync_seconds.add(sync.seconds);
        engine_mib.add(sync.engine_mib);
        replica_mib.add(sync.replica_mib);
        engine_own.add(sync.engine_private_mib);
        replica_own.add(sync.replica_private_mib);
        equal = equal && sync.equal;
    }
    ratio.add(sync_seconds.median() / rsync_seconds.median());
    report.line("snapshot", std::to_string(setting.snapshot_mib) + " MiB",
                {{"ratio", ratio.median()},
                 {"sync_s", sync_seconds.median()},
                 {"sync_s_most", sync_seconds.most()},
                 {"rsync_s", rsync_seconds.median()},
                 {"rsync_s_most", rsync_seconds.most()},
                 {"engine_peak_mib", engine_mib.most()},
                 {"replica_peak_mib", replica_mib.most()},
                 {"engine_anonymous_mib", engine_own.most()},
                 {"replica_anonymous_mib", replica_own.most()},
                 {"pairs", static_cast<double>(sync_seconds.count())},
                 {"equal", equal ? 1.0 : 0.0}});
    report.verdict("snapshot", "at most twice rsync", ratio.median() <= 2 && equal);
    report.verdict("snapshot", "engine and replica stay below 64 MiB",
                   engine_mib.most() <= 64 && replica_mib.most() <= 64);
    std::filesystem::remove(original);
}

void run_idle(const Setting& setting, Report& report) {
    Rig rig(setting, "idle", {});
    make_large(rig.primary(), 16);
    rig.start_replica();
    rig.start_engine();
    rig.seconds_until("SELECT run FROM mark", 1, seconds(60));
    // Idle heartbeats begin some seconds after the last commit; this is part of what is measured.
    ::sleep(setting.quick ? 2 : 10);
    const int64_t engine = testing::cpu_ns(rig.engine_pid());
    const int64_t replica = testing::cpu_ns(rig.replica_pid());
    ::sleep(static_cast<unsigned>(setting.idle_seconds));
    const double nanoseconds = static_cast<double>(setting.idle_seconds) * 1e9;
    const auto percent = [&](int64_t ns) { return 100 * static_cast<double>(ns) / nanoseconds; };
    const double engine_percent = percent(testing::cpu_ns(rig.engine_pid()) - engine);
    const double replica_percent = percent(testing::cpu_ns(rig.replica_pid()) - replica);
    report.line("idle", std::to_string(setting.idle_seconds) + " s",
                {{"engine_percent", engine_percent}, {"replica_percent", replica_percent}});
    report.verdict("idle", "at most 0.1 % CPU each",
                   engine_percent <= 0.1 && replica_percent <= 0.1);
}

}  // namespace tanist::bench
