// bench_latency DB REPLICA: commits at a steady rate and, in the same process and on the same
// clock, looks at the replica until each one is readable there. Prints one line per commit:
// nanoseconds from the return of COMMIT, and from the call of it, until it was readable.
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "tests/support/process/arguments.h"
#include "tests/support/process/database.h"

namespace {

using tanist::testing::Arguments;
using tanist::testing::Database;

int64_t now_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t{1'000'000'000} * t.tv_sec + t.tv_nsec;
}

struct Commit {
    std::atomic<int64_t> called{0};
    std::atomic<int64_t> returned{0};
    int64_t readable = 0;
};

// Absolute times, so that a slow commit does not thin the load.
bool write_all(Database& db, std::vector<Commit>& commits, int64_t period_ns, int64_t first) {
    int64_t due = now_ns();
    for (size_t i = 0; i < commits.size(); ++i) {
        due += period_ns;
        const timespec t{due / 1'000'000'000, due % 1'000'000'000};
        ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
        commits[i].called = now_ns();
        const std::string value = std::to_string(first + static_cast<int64_t>(i) + 1);
        if (db.run("UPDATE tick SET n=" + value) != SQLITE_OK) return false;
        commits[i].returned = now_ns();
    }
    return true;
}

// Looks every `poll_us` microseconds, which bounds the error of the measurement.
bool watch(Database& db, std::vector<Commit>& commits, int64_t first, unsigned poll_us) {
    ::prctl(PR_SET_TIMERSLACK, 1);
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db.handle(), "SELECT n FROM tick", -1, &statement, nullptr);
    const int64_t patience = now_ns() + int64_t{120'000'000'000};
    size_t seen = 0;
    while (seen < commits.size() && now_ns() < patience) {
        const int rc = sqlite3_step(statement);
        const int64_t n = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) - first : 0;
        sqlite3_reset(statement);
        const int64_t now = now_ns();
        while (n > 0 && seen < static_cast<size_t>(n)) commits[seen++].readable = now;
        ::usleep(poll_us);
    }
    sqlite3_finalize(statement);
    return seen == commits.size();
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments(argc, argv);
    tanist::testing::OpenOptions how;
    how.extension = arguments.text("extension", "");
    how.parameters = arguments.text("uri", "");
    const int64_t rate = arguments.number("rate", 500);
    const int64_t seconds = arguments.number("seconds", 10);
    const int64_t poll_us = arguments.number("poll-us", 20);
    arguments.finish(2, "bench_latency DB REPLICA [--rate N] [--seconds N] [--poll-us N]");
    Database primary;
    Database replica;
    int64_t first = 0;
    if (primary.open(arguments.words()[0], how) != SQLITE_OK ||
        replica.open(arguments.words()[1], {}) != SQLITE_OK ||
        primary.ask("SELECT n FROM tick", first) != SQLITE_ROW) {
        std::fprintf(stderr, "bench_latency: %s %s\n", primary.trouble().c_str(),
                     replica.trouble().c_str());
        return 1;
    }
    std::vector<Commit> commits(static_cast<size_t>(rate * seconds));
    bool written = false;
    std::thread writer([&] { written = write_all(primary, commits, 1'000'000'000 / rate, first); });
    const bool seen = watch(replica, commits, first, static_cast<unsigned>(poll_us));
    writer.join();
    if (!written || !seen) {
        std::fprintf(stderr, "bench_latency: %s\n",
                     written ? "the replica did not show every commit" : primary.trouble().c_str());
        return 1;
    }
    for (const Commit& commit : commits) {
        // A reader may see a commit before the call that made it has returned.
        const int64_t after = commit.readable - commit.returned;
        std::printf("%ld %ld\n", after < 0 ? 0 : after, commit.readable - commit.called);
    }
    return 0;
}
