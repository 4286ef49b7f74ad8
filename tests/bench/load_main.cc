// The application of the throughput benchmark, stock or with the extension:
//
//   bench_load DB --kind insert|update --threads N --commits N --sync LEVEL --run N
//
// Each thread has its own connection; together they make `commits` transactions of one row. Prints
// "seconds cpu_seconds" when the last one has returned; then leaves the number of the run in table
// `mark`, outside the measured time, so that somebody can wait for it.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "tests/support/process/arguments.h"
#include "tests/support/process/database.h"
#include "tests/support/process/dice.h"

namespace {

using tanist::testing::Arguments;
using tanist::testing::Database;
using tanist::testing::Dice;

struct Load {
    std::string path;
    tanist::testing::OpenOptions how;
    std::string sync;
    bool insert = true;
    int64_t rows = 0;
};

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

bool open(Database& db, const Load& load) {
    if (db.open(load.path, load.how) == SQLITE_OK &&
        db.run("PRAGMA synchronous=" + load.sync) == SQLITE_OK) {
        return true;
    }
    std::fprintf(stderr, "bench_load: %s\n", db.trouble().c_str());
    return false;
}

// Takes commits off `left` until none is left.
bool work(Database& db, const Load& load, std::atomic<int64_t>& left, uint64_t seed) {
    const char* sql = load.insert ? "INSERT INTO event(account, amount, note) VALUES(?1, ?2, "
                                    "'a note of the usual length, as an application might keep it')"
                                  : "UPDATE account SET balance=balance+?2 WHERE id=?1";
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db.handle(), sql, -1, &statement, nullptr) != SQLITE_OK) return false;
    Dice dice(seed);
    int rc = SQLITE_DONE;
    while (left.fetch_sub(1) > 0 && rc == SQLITE_DONE) {
        sqlite3_bind_int64(statement, 1, dice.between(1, load.rows));
        sqlite3_bind_int64(statement, 2, dice.between(-100, 100));
        // The timeout of 60 s makes BUSY an error here, not a pace.
        rc = sqlite3_step(statement);
        sqlite3_reset(statement);
    }
    if (rc != SQLITE_DONE) std::fprintf(stderr, "bench_load: %s\n", sqlite3_errstr(rc));
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
    load.insert = arguments.text("kind", "insert") == "insert";
    load.rows = arguments.number("rows", 100'000);
    const int64_t threads = arguments.number("threads", 1);
    const int64_t commits = arguments.number("commits", 1000);
    const int64_t run = arguments.number("run", 0);
    arguments.finish(1, "bench_load DB --kind insert|update --threads N --commits N ...");
    load.path = arguments.words()[0];

    std::vector<Database> connections(static_cast<size_t>(threads));
    for (Database& db : connections) {
        int64_t ignored = 0;
        if (!open(db, load)) return 1;
        if (db.ask("SELECT count(*) FROM mark", ignored) != SQLITE_ROW) {
            std::fprintf(stderr, "bench_load: no mark: %s\n", db.trouble().c_str());
            return 1;
        }
        load.how.extension.clear();  // once in a process
    }
    std::atomic<int64_t> left(commits);
    std::atomic<bool> well(true);
    const double cpu_before = cpu_seconds();
    const auto before = std::chrono::steady_clock::now();
    std::vector<std::thread> workers;
    for (size_t i = 0; i < connections.size(); ++i) {
        workers.emplace_back([&, i] {
            if (!work(connections[i], load, left, static_cast<uint64_t>(run * 100) + i))
                well = false;
        });
    }
    for (std::thread& worker : workers) worker.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    std::printf("%.6f %.6f\n", took.count(), cpu_seconds() - cpu_before);
    const std::string mark = "UPDATE mark SET run=" + std::to_string(run);
    if (well && connections[0].run(mark) == SQLITE_OK) return 0;
    std::fprintf(stderr, "bench_load: %s\n", connections[0].trouble().c_str());
    return 1;
}
