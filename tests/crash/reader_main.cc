// crash_reader REPLICA: a stock reader that looks again and again. Exit 9 and one sentence when a
// state is not one that the primary had, or when the replica goes back in time.
#include <unistd.h>

#include <cstdio>

#include "tests/crash/board.h"
#include "tests/crash/ledger.h"
#include "tests/support/process/arguments.h"

namespace {

using namespace tanist::crash;
using tanist::testing::Database;

constexpr int kViolation = 9;

int violation(const std::string& sentence) {
    std::fprintf(stderr, "crash_reader: VIOLATION: %s\n", sentence.c_str());
    return kViolation;
}

// 0, or the exit code.
int judge(Board& board, const Look& look) {
    if (!look.violation.empty()) return violation(look.violation);
    const uint64_t shown = board.shown.load();
    if (look.attempt > board.attempts.load()) {
        return violation("attempt " + std::to_string(look.attempt) + " was never made");
    }
    if (board.outcome(look.attempt) == Outcome::refused) {
        return violation("attempt " + std::to_string(look.attempt) + " was refused");
    }
    if (look.attempt < shown) {
        const GoBack allowed = board.may_go_back.exchange(GoBack::no);
        const bool told = board.outcome(shown) == Outcome::acknowledged;
        const bool further = board.committed_between(look.attempt, shown);
        if (allowed == GoBack::no || (allowed == GoBack::over_unanswered && told) ||
            (allowed == GoBack::over_last && further)) {
            return violation("from attempt " + std::to_string(shown) + " back to " +
                             std::to_string(look.attempt));
        }
        ++board.went_back;
    }
    board.shown.store(look.attempt);
    ++board.looks;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    tanist::testing::Arguments arguments(argc, argv);
    const std::string board_path = arguments.text("board", "");
    arguments.finish(1, "crash_reader REPLICA --board FILE");
    Board* board = Board::map(board_path);
    if (!board) return 2;
    Database db;
    tanist::testing::OpenOptions how;
    how.flags = SQLITE_OPEN_READWRITE;
    for (;;) {
        int rc = db.is_open() ? SQLITE_OK : db.open(arguments.words()[0], how);
        if (rc == SQLITE_OK) rc = add_digest_function(db);
        Look look;
        if (rc == SQLITE_OK) {
            look = look_at(db);
            rc = look.code;
        }
        if (rc == SQLITE_OK) {
            const int code = judge(*board, look);
            if (code != 0) return code;
        } else {
            // Not there yet, or locked for a moment; anything else is damage.
            const std::string trouble = db.trouble();
            db.close();
            if (rc != SQLITE_BUSY && rc != SQLITE_CANTOPEN) {
                return violation("cannot read: " + trouble);
            }
        }
        ::usleep(1000);  // the pace of looks
    }
}
