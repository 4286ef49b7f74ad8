#include "replicator/node/progress.h"

#include <doctest/doctest.h>
#include <pty.h>
#include <unistd.h>

#include "replicator/base/notes.h"
#include "tests/support/in_child.h"

using namespace tanist;

namespace {

std::string last_note;
void keep(NoteLevel, const std::string& line) { last_note = line; }

// What appears on a terminal that is the standard error of `work`.
std::string on_terminal(void (*work)(Progress&)) {
    return testing::in_child([work] {
        int master = -1;
        int slave = -1;
        if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) return std::string("pty");
        ::dup2(slave, STDERR_FILENO);
        Progress progress;
        progress.begin("delta sync");
        work(progress);
        char shown[4096];
        const ssize_t got = ::read(master, shown, sizeof shown);
        return std::string(shown, got > 0 ? static_cast<size_t>(got) : 0);
    });
}

}  // namespace

TEST_CASE("progress: a terminal gets a bar with share, size and time left") {
    set_note_sink(&keep);
    const std::string shown = on_terminal([](Progress& p) { p.update(30'000'000, 40'000'000, 0); });
    CHECK_MESSAGE(shown.find("[######################........]  75%") != std::string::npos, shown);
    CHECK(shown.find("30.0 MB of 40.0 MB") != std::string::npos);
    set_note_sink(nullptr);
}

// A database may shrink while it is copied.
TEST_CASE("progress: more than everything is shown as everything") {
    set_note_sink(&keep);
    const std::string shown = on_terminal([](Progress& p) { p.update(50, 40, 0); });
    CHECK_MESSAGE(shown.find("[##############################] 100%") != std::string::npos, shown);
    set_note_sink(nullptr);
}

TEST_CASE("progress: without a terminal the beginning and the end are a line each") {
    set_note_sink(&keep);
    Progress progress;
    progress.begin("delta sync");
    CHECK(last_note == "delta sync begins");
    progress.update(10, 20, 7'000'000);
    progress.end("is done");
    CHECK(last_note == "delta sync is done received=\"7.0 MB\" took=0:00");
    set_note_sink(nullptr);
}
