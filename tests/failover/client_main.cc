// An application on one node: tries to write each PACE milliseconds, whatever the node's role is,
// and notes what it was told (history.h). Notes are written at once, so that they survive its
// death.
//
//   failover_client DB NOTES EXTENSION FIRST_VALUE PACE
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "replicator/control/control_block.h"
#include "replicator/control/layout.h"
#include "tests/support/process/database.h"
#include "tests/support/process/dice.h"

namespace {

using tanist::Control;
using tanist::Layout;
using tanist::testing::Database;
using tanist::testing::Dice;
using tanist::testing::OpenOptions;

constexpr int kLists = 8;
constexpr int kAccounts = 10;
constexpr int kTailValues = 8;

int64_t now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

class Client {
  public:
    Client(std::string db, const std::string& notes, std::string extension, uint64_t first)
        : path_(std::move(db)), extension_(std::move(extension)), value_(first), dice_(first) {
        notes_ = ::open(notes.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }

    void attempt() {
        if (!ready()) return;
        if (db_.run("BEGIN IMMEDIATE") != SQLITE_OK) return;  // nothing has happened
        const uint64_t value = value_++;
        const int list = static_cast<int>(dice_.below(kLists));
        say("b " + std::to_string(value) + " " + std::to_string(list) + " " +
            std::to_string(control_->epoch.load()) + " " + std::to_string(now_ns()));
        std::string told;
        int rc = write(value, list, told);
        if (rc == SQLITE_OK) rc = db_.run("COMMIT");
        const std::string at = std::to_string(value) + " " + std::to_string(now_ns());
        if (rc == SQLITE_OK) {
            say("a " + at + " " + told);
            return;
        }
        db_.run("ROLLBACK");
        // These two say that nothing happened; everything else leaves it open.
        const bool nothing = rc == SQLITE_BUSY || rc == SQLITE_READONLY;
        say((nothing ? "r " : "u ") + at);
    }

  private:
    bool ready() {
        if (!db_.is_open()) {
            OpenOptions options;
            options.parameters = "vfs=tanist";
            options.extension = extension_;
            options.flags = SQLITE_OPEN_READWRITE;
            options.busy_timeout_ms = 100;
            if (db_.open(path_, options) != SQLITE_OK) return false;
        }
        if (!control_) {
            auto control = Control::open(Layout(path_).control(), false, false);
            if (control.ok()) control_ = std::move(*control);
        }
        return static_cast<bool>(control_);
    }

    // Returns a result code; `told` becomes the sum and the values before.
    int write(uint64_t value, int list, std::string& told) {
        const std::string in_list = " FROM entry WHERE list=" + std::to_string(list);
        std::string tail;
        int rc = db_.ask(
            "SELECT group_concat(trim(value, 'v;')) FROM (SELECT value FROM (SELECT id, value" +
                in_list + " ORDER BY id DESC LIMIT " + std::to_string(kTailValues) +
                ") ORDER BY id)",
            tail);
        if (rc != SQLITE_ROW) return rc;
        rc = db_.run("INSERT INTO entry(list, value) VALUES(" + std::to_string(list) + ",'v" +
                     std::to_string(value) + ";')");
        if (rc != SQLITE_OK) return rc;
        const std::string amount = std::to_string(dice_.below(20));
        for (const char* sign : {"-", "+"}) {
            rc = db_.run("UPDATE account SET balance = balance " + std::string(sign) + amount +
                         " WHERE id=" + std::to_string(dice_.below(kAccounts)));
            if (rc != SQLITE_OK) return rc;
        }
        int64_t sum = 0;
        rc = db_.ask("SELECT sum(balance) FROM account", sum);
        told = std::to_string(sum) + " " + tail;
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
    }

    void say(const std::string& line) {
        const std::string whole = line + "\n";
        if (::write(notes_, whole.data(), whole.size()) < 0) ::_exit(3);
    }

    std::string path_;
    std::string extension_;
    uint64_t value_;
    Dice dice_;
    int notes_ = -1;
    Database db_;
    Control control_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) {
        std::fprintf(stderr, "usage: failover_client DB NOTES EXTENSION FIRST_VALUE PACE\n");
        return 2;
    }
    Client client(argv[1], argv[2], argv[3], std::stoull(argv[4]));
    const long pace_ms = std::stol(argv[5]);  // less than a second
    for (;;) {
        client.attempt();
        // Not a wait for anything: the pace at which this application retries.
        const timespec pace{0, pace_ms * 1'000'000};
        ::nanosleep(&pace, nullptr);
    }
}
