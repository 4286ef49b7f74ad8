// The application of the synchronous benchmarks, stock or with the extension:
//
//   bench_commit DB --threads N --commits N --sync LEVEL [--ack RULE --mode MODE] --run N
//
// Each thread has its own connection; together they make `commits` transactions, each of one
// changed row on one page. Prints "per_second p50_us p99_us" of COMMIT as the application sees it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "tests/bench/measure.h"
#include "tests/support/process/arguments.h"
#include "tests/support/process/database.h"
#include "tests/support/process/dice.h"

namespace {

using std::chrono::steady_clock;
using tanist::bench::Series;
using tanist::testing::Arguments;
using tanist::testing::Database;
using tanist::testing::Dice;

struct Load {
    std::string path;
    tanist::testing::OpenOptions how;
    std::string sync, ack, mode;
    int64_t rows = 0;
};

bool open(Database& db, const Load& load) {
    int rc = db.open(load.path, load.how);
    std::string set = "PRAGMA synchronous=" + load.sync + ";";
    if (!load.mode.empty()) set += "PRAGMA tanist_commit_mode='" + load.mode + "';";
    if (!load.ack.empty()) set += "PRAGMA tanist_ack='" + load.ack + "';";
    if (rc == SQLITE_OK) rc = db.run(set);
    if (rc != SQLITE_OK) std::fprintf(stderr, "bench_commit: %s\n", db.trouble().c_str());
    return rc == SQLITE_OK;
}

// Takes commits off `left` until none is left; `took_us` gets the time of each.
bool work(Database& db, const Load& load, std::atomic<int64_t>& left, uint64_t seed,
          std::vector<double>& took_us) {
    sqlite3_stmt* statement = nullptr;
    const char* sql = "UPDATE account SET balance=balance+?2 WHERE id=?1";
    if (sqlite3_prepare_v2(db.handle(), sql, -1, &statement, nullptr) != SQLITE_OK) return false;
    Dice dice(seed);
    int rc = SQLITE_DONE;
    while (left.fetch_sub(1) > 0 && rc == SQLITE_DONE) {
        sqlite3_bind_int64(statement, 1, dice.between(1, load.rows));
        sqlite3_bind_int64(statement, 2, dice.between(-100, 100));
        const auto before = steady_clock::now();
        rc = sqlite3_step(statement);
        const std::chrono::duration<double, std::micro> took = steady_clock::now() - before;
        took_us.push_back(took.count());
        sqlite3_reset(statement);
    }
    if (rc != SQLITE_DONE) std::fprintf(stderr, "bench_commit: %s\n", sqlite3_errmsg(db.handle()));
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments(argc, argv);
    Load load;
    load.how.extension = arguments.text("extension", "");
    load.how.parameters = arguments.text("uri", "");
    load.how.busy_timeout_ms = 60'000;
    load.sync = arguments.text("sync", "NORMAL");
    load.ack = arguments.text("ack", "");
    load.mode = arguments.text("mode", "");
    load.rows = arguments.number("rows", 1000);
    const auto threads = static_cast<size_t>(arguments.number("threads", 1));
    const int64_t commits = arguments.number("commits", 1000);
    const auto run = static_cast<uint64_t>(arguments.number("run", 0));
    arguments.finish(1, "bench_commit DB --threads N --commits N --sync LEVEL ...");
    load.path = arguments.words()[0];

    std::vector<Database> connections(threads);
    for (Database& db : connections) {
        if (!open(db, load)) return 1;
        load.how.extension.clear();  // once in a process
    }
    std::atomic<int64_t> left(commits);
    std::atomic<bool> well(true);
    std::vector<std::vector<double>> took_us(threads);
    const auto before = steady_clock::now();
    std::vector<std::thread> workers;
    for (size_t i = 0; i < threads; ++i) {
        workers.emplace_back([&, i] {
            if (!work(connections[i], load, left, run * 100 + i, took_us[i])) well = false;
        });
    }
    for (std::thread& worker : workers) worker.join();
    const std::chrono::duration<double> took = steady_clock::now() - before;
    Series all;
    for (const auto& of_thread : took_us)
        for (const double us : of_thread) all.add(us);
    std::printf("%.1f %.1f %.1f\n", static_cast<double>(commits) / took.count(), all.quantile(0.5),
                all.quantile(0.99));
    return well ? 0 : 1;
}
