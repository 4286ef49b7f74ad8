// A stock process that does nothing but checkpoint, in all four modes, while others write.
#include <unistd.h>

#include <cstdio>

#include "tests/process/chaos/board.h"
#include "tests/support/process/arguments.h"
#include "tests/support/process/database.h"
#include "tests/support/process/dice.h"

int main(int argc, char** argv) {
    tanist::testing::Arguments arguments(argc, argv);
    tanist::testing::Dice dice(static_cast<uint64_t>(arguments.number("seed", 1)));
    const std::string board_path = arguments.text("board", "");
    const int64_t rest_ms = arguments.number("rest-ms", 60);
    arguments.finish(1, "chaos_checkpointer DB --board FILE [--seed N] [--rest-ms N]");
    auto* board = tanist::chaos::Board::map(board_path);
    if (!board) return 2;
    tanist::testing::Database db;
    tanist::testing::OpenOptions how;
    how.flags = SQLITE_OPEN_READWRITE;
    how.busy_timeout_ms = 200;
    static const int kModes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL,
                                 SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE};
    for (;;) {
        ::usleep(static_cast<unsigned>(dice.below(static_cast<uint64_t>(rest_ms) * 2000)));
        int rc = db.is_open() ? SQLITE_OK : db.open(arguments.words()[0], how);
        // A connection learns that the database is in WAL mode by reading it.
        int64_t ignored = 0;
        if (rc == SQLITE_OK) rc = db.ask("PRAGMA schema_version", ignored);
        if (rc == SQLITE_ROW || rc == SQLITE_OK) {
            rc =
                sqlite3_wal_checkpoint_v2(db.handle(), "main", dice.pick(kModes), nullptr, nullptr);
        }
        rc &= 0xff;
        if (rc == SQLITE_OK) ++board->checkpoints;
        if (rc == SQLITE_CANTOPEN) db.close();
        if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED || rc == SQLITE_CANTOPEN) {
            if (dice.chance(10)) db.close();
            continue;
        }
        std::fprintf(stderr, "chaos_checkpointer: %s (%d)\n", sqlite3_errstr(rc), rc);
        return 1;
    }
}
