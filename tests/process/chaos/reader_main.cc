// A stock SQLite reader of a live replica: looks again and again, each time in one read
// transaction, and exits with 9 and one sentence when what it sees was never true on the primary,
// or when time ran backwards.
//
//   --how plain      keeps its connection
//         mmap       keeps it, reads through a memory map
//         reconnect  opens anew for every look
//         readonly   opens read-only, as a user without write permission when started by root
//         stray      also tries to write, which must be refused
#include <unistd.h>

#include <cstdio>

#include "tests/process/chaos/board.h"
#include "tests/process/chaos/schema.h"
#include "tests/support/process/arguments.h"
#include "tests/support/process/dice.h"

namespace {

using tanist::chaos::Board;
using tanist::chaos::Look;
using tanist::testing::Arguments;
using tanist::testing::Database;
using tanist::testing::Dice;

constexpr int kViolation = 9;

struct Reader {
    std::string path;
    std::string how;
    Board* board = nullptr;
    Dice dice{1};
    Database db;

    int open() {
        tanist::testing::OpenOptions options;
        options.flags = how == "readonly" ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
        int rc = db.open(path, options);
        if (rc == SQLITE_OK) rc = tanist::chaos::add_hash_function(db);
        if (rc == SQLITE_OK && how == "mmap") rc = db.run("PRAGMA mmap_size=268435456");
        return rc;
    }

    int violation(const std::string& sentence) const {
        std::fprintf(stderr, "chaos_reader (%s): VIOLATION: %s\n", how.c_str(), sentence.c_str());
        return kViolation;
    }

    // Not now, but no harm: the file is not there yet; locked for a moment; or, for a user who may
    // not write, nobody is there who could recover the WAL.
    bool is_refusal(int rc) const {
        return rc == SQLITE_BUSY || rc == SQLITE_CANTOPEN ||
               (rc == SQLITE_READONLY && how == "readonly");
    }

    int refused(int rc) {
        db.close();
        if (!is_refusal(rc)) return violation("cannot read: " + db.trouble());
        ++board->looks_refused;
        ::usleep(10'000);  // nothing to wait for: pace of the next try
        return 0;
    }

    // The write must be refused; were it let through, it is rolled back.
    int stray() {
        const int rc = db.run("BEGIN IMMEDIATE; UPDATE meter SET ticks=0");
        if (!sqlite3_get_autocommit(db.handle())) db.run("ROLLBACK");
        if (rc == SQLITE_OK) return violation("a stray write was accepted");
        if (rc != SQLITE_READONLY && rc != SQLITE_BUSY) {
            return violation("a stray write failed strangely: " + db.trouble());
        }
        ++board->strays_refused;
        return 0;
    }

    int look() {
        if (!db.is_open()) {
            const int rc = open();
            if (rc != SQLITE_OK) return refused(rc);
        }
        const int64_t floor = board->ticks_seen.load();
        int rc = db.run("BEGIN");
        if (rc != SQLITE_OK) return refused(rc);
        const Look seen = tanist::chaos::check_invariants(db, dice.chance(10));
        // A rest inside the transaction, so that checkpoints and restarts meet an old snapshot.
        if (dice.chance(10)) ::usleep(static_cast<unsigned>(dice.below(20'000)));
        rc = db.run("COMMIT");
        if (!seen.violation.empty()) return violation(seen.violation);
        if (seen.code != 0) return refused(seen.code);
        if (rc != SQLITE_OK) return refused(rc);
        if (seen.ticks < floor) {
            return violation("time ran backwards: " + std::to_string(seen.ticks) + " after " +
                             std::to_string(floor));
        }
        board->saw_ticks(seen.ticks);
        ++board->looks;
        if (how == "stray" && dice.chance(30)) return stray();
        if (how == "reconnect") db.close();
        return 0;
    }
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments(argc, argv);
    Reader reader;
    reader.how = arguments.text("how", "plain");
    reader.dice = Dice(static_cast<uint64_t>(arguments.number("seed", 1)));
    const std::string board = arguments.text("board", "");
    const int64_t looks = arguments.number("looks", -1);
    arguments.finish(1, "chaos_reader REPLICA --board FILE [--how WAY] [--seed N] [--looks N]");
    reader.path = arguments.words()[0];
    reader.board = Board::map(board);
    if (!reader.board) return 2;
    if (reader.how == "readonly" && ::geteuid() == 0) {
        if (::setgid(65534) != 0 || ::setuid(65534) != 0) return 2;
    }
    for (int64_t done = 0; done != looks; ++done) {
        const int code = reader.look();
        if (code != 0) return code;
        ::usleep(static_cast<unsigned>(reader.dice.below(3000)));
    }
    return 0;
}
