// crash_writer DB: one run of an application whose commits take every way through the WAL: small
// ones, spilled caches, pages rewritten in place, savepoints, checkpoints of every mode, the first
// commit of a restarted WAL. It notes on the board what each COMMIT answered, and exits with 0; an
// error that no application should see is exit 1 with a sentence. With --finish: one small commit.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>

#include "tests/crash/board.h"
#include "tests/crash/ledger.h"
#include "tests/crash/step_vfs.h"
#include "tests/support/process/arguments.h"

namespace {

using namespace tanist::crash;
using tanist::testing::Arguments;
using tanist::testing::Database;

constexpr auto kPatience = std::chrono::seconds(30);
// docs/guarantees.md: the rule was not met in time, and the commit was rolled back, or is there.
constexpr int kNotConfirmed = SQLITE_IOERR | (84 << 8);
constexpr int kCommittedUnconfirmed = SQLITE_IOERR | (85 << 8);

struct Writer {
    Database db;
    Board* board = nullptr;
    int body_bytes = 0;
    bool waits = false;  // under a synchronous rule

    int complain(const char* doing) const {
        std::fprintf(stderr, "crash_writer: %s: %s\n", doing, db.trouble().c_str());
        return 1;
    }

    std::string body(int percent) const {
        return "randomblob(" + std::to_string(body_bytes * percent / 100) + ")";
    }

    // Statements, then what makes the state true; SQLite's result of the whole.
    int attempt_once(const std::string& sql, uint64_t attempt) {
        int rc = db.run("BEGIN IMMEDIATE");
        if (rc == SQLITE_OK) rc = db.run(sql);
        if (rc == SQLITE_OK) rc = enter_attempt(db, attempt);
        if (rc == SQLITE_OK) rc = db.run("COMMIT");
        if (rc == SQLITE_OK) {
            board->answer(attempt, Outcome::acknowledged);
            note_position();
        } else if (db.extended() == kCommittedUnconfirmed) {
            board->answer(attempt, Outcome::unconfirmed);
            ++board->refusals;
            return SQLITE_OK;
        } else {
            board->answer(attempt, Outcome::refused);
            if (!sqlite3_get_autocommit(db.handle())) db.run("ROLLBACK");
        }
        return rc;
    }

    // Nobody else writes, so this is the position of the commit just acknowledged.
    void note_position() {
        std::string position;
        if (!waits || db.ask("PRAGMA tanist_position", position) != SQLITE_ROW) return;
        board->acknowledged_lsn.store(std::stoull(position.substr(position.find(':') + 1)));
    }

    // Others hold the lock now and then: so does every application.
    bool commit(const std::string& sql) {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        for (;;) {
            const int rc = attempt_once(sql, board->begin_attempt());
            if (rc == SQLITE_OK) return true;
            const bool unmet = rc == SQLITE_IOERR && db.extended() == kNotConfirmed;
            if (unmet) ++board->refusals;
            if ((rc != SQLITE_BUSY && !unmet) || std::chrono::steady_clock::now() > deadline)
                return false;
        }
    }

    bool checkpoint(const std::string& mode) {
        const int rc = db.run("PRAGMA wal_checkpoint(" + mode + ")");
        return rc == SQLITE_OK || rc == SQLITE_BUSY;
    }

    bool run() {
        const std::string all = "UPDATE item SET body=" + body(60) + ";";
        return commit("") && commit(all) &&
               // Spilled pages that are dirtied again are overwritten where they are, and the
               // checksums of what follows are computed anew.
               commit(all + all + "UPDATE item SET body=" + body(50) + " WHERE id%2=0") &&
               commit(
                   "SAVEPOINT inner; DELETE FROM item WHERE id=1; ROLLBACK TO inner;"
                   "RELEASE inner; UPDATE item SET body=" +
                   body(20) + " WHERE id=3") &&
               checkpoint("PASSIVE") &&
               commit("DELETE FROM item WHERE id<4; INSERT INTO item VALUES(1," + body(90) +
                      "),(2," + body(10) + "),(3," + body(60) + ")") &&
               checkpoint("TRUNCATE") && commit("") && commit(all) && checkpoint("RESTART") &&
               commit(all + all) && commit("");
    }
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments(argc, argv);
    tanist::testing::OpenOptions how;
    const std::string extension = arguments.text("extension", "");
    how.parameters = arguments.text("uri", "");
    const std::string pragmas = arguments.text("pragmas", "");
    const std::string board_path = arguments.text("board", "");
    const bool only_finish = arguments.has("finish");
    const int64_t forget = arguments.number("forget", 0);
    arguments.finish(1,
                     "crash_writer DB --board FILE [--extension FILE] [--uri QUERY] "
                     "[--pragmas SQL] [--finish] [--forget ATTEMPT]");
    Writer writer;
    writer.board = Board::map(board_path);
    if (!writer.board) {
        std::fprintf(stderr, "crash_writer: cannot map the board '%s'\n", board_path.c_str());
        return 2;
    }
    if (!extension.empty()) {
        if (register_step_vfs() != SQLITE_OK) return writer.complain("register_step_vfs");
        how.extension = extension;
    }
    // Where a killed process left the WAL to be recovered, opening may take a second try.
    int rc = SQLITE_BUSY;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (rc == SQLITE_BUSY && std::chrono::steady_clock::now() < deadline) {
        rc = writer.db.open(arguments.words()[0], how);
        if (rc == SQLITE_OK) rc = add_digest_function(writer.db);
        if (rc == SQLITE_OK) rc = writer.db.run(pragmas);
    }
    if (rc != SQLITE_OK) return writer.complain("open");
    int64_t page_bytes = 0;
    if (writer.db.ask("PRAGMA page_size", page_bytes) != SQLITE_ROW) {
        return writer.complain("page_size");
    }
    writer.body_bytes = static_cast<int>(page_bytes);
    writer.waits = pragmas.find("tanist_ack") != std::string::npos;
    // What was judged is forgotten, or each play would be longer than the one before.
    const std::string old = "DELETE FROM done WHERE attempt<" + std::to_string(forget);
    const bool fine = only_finish ? writer.commit(old) : writer.run();
    if (!fine) return writer.complain("commit");
    writer.db.close();
    return 0;
}
