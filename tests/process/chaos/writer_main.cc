// One application process of the chaos test. Ends by itself only on an error that no application
// should see; otherwise it is killed. With --finish it makes one last commit and exits.
#include <cstdio>

#include "tests/process/chaos/workload.h"
#include "tests/support/process/arguments.h"

namespace {

using tanist::chaos::Board;
using tanist::chaos::Workload;
using tanist::chaos::WorkloadOptions;
using tanist::testing::Arguments;
using tanist::testing::Database;
using tanist::testing::Dice;

// SIGKILL may come at any of these too, so opening is tried again like everything else.
bool open(Database& db, const std::string& path, const tanist::testing::OpenOptions& how,
          const std::string& pragmas) {
    for (int attempt = 0; attempt < 20; ++attempt) {
        int rc = db.open(path, how);
        if (rc == SQLITE_OK) rc = tanist::chaos::add_hash_function(db);
        if (rc == SQLITE_OK) rc = db.run(pragmas);
        if (rc == SQLITE_OK) return true;
        if (rc != SQLITE_BUSY) break;
    }
    std::fprintf(stderr, "chaos_writer: open: %s\n", db.trouble().c_str());
    return false;
}

// The marker is the last commit of a stanza; its token is what the replica is waited for.
int finish(Database& db, const std::string& token) {
    const int rc = db.run(
        "BEGIN IMMEDIATE; UPDATE meter SET ticks=ticks+1;"
        "INSERT INTO marker(token) VALUES('" +
        token + "'); COMMIT");
    if (rc != SQLITE_OK) std::fprintf(stderr, "chaos_writer: finish: %s\n", db.trouble().c_str());
    return rc == SQLITE_OK ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments(argc, argv);
    tanist::testing::OpenOptions how;
    how.parameters = arguments.text("uri", "");
    how.extension = arguments.text("extension", "");
    how.busy_timeout_ms = static_cast<int>(arguments.number("busy-ms", 5000));
    Dice dice(static_cast<uint64_t>(arguments.number("seed", 1)));
    WorkloadOptions options;
    options.writer = static_cast<int>(arguments.number("slot", 0));
    options.blob_bytes_max = static_cast<int>(arguments.number("blob-bytes", 1 << 20));
    options.items_max = static_cast<int>(arguments.number("items", 4000));
    options.spilled_savepoints = !arguments.has("no-spilled-savepoints");
    options.maintenance = !arguments.has("no-maintenance");
    const std::string pragmas = "PRAGMA synchronous=" + arguments.text("sync", "NORMAL") +
                                ";PRAGMA cache_size=" + arguments.text("cache", "2000");
    const std::string token = arguments.text("finish", "");
    const int64_t steps = arguments.number("steps", -1);
    const std::string board_path = arguments.text("board", "");
    arguments.finish(1, "chaos_writer DB --board FILE [--seed N] [--slot N] [--uri QUERY] ...");

    Database db;
    if (!open(db, arguments.words()[0], how, pragmas)) return 1;
    if (!token.empty()) return finish(db, token);
    Board* board = Board::map(board_path);
    if (!board) {
        std::fprintf(stderr, "chaos_writer: cannot map the board '%s'\n", board_path.c_str());
        return 2;
    }
    Workload workload(db, *board, dice, options);
    for (int64_t done = 0; done != steps; ++done) {
        if (workload.step()) continue;
        std::fprintf(stderr, "chaos_writer %d: %s\n", options.writer, workload.trouble().c_str());
        return 1;
    }
    return 0;
}
