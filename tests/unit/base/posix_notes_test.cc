#include <doctest/doctest.h>

#include "replicator/base/notes.h"

namespace tanist {
namespace {

std::string last_line;
void keep(NoteLevel, const std::string& line) { last_line = line; }

}  // namespace

TEST_CASE("notes: a note is one line, whatever the facts hold") {
    set_note_sink(&keep);
    note(NoteLevel::info, "replica connected", {{"endpoint", "tcp://a:1"}, {"lsn", "7"}});
    CHECK(last_line == "replica connected endpoint=tcp://a:1 lsn=7");
    note(NoteLevel::error, "bad", {{"why", "a \"b\"\nc"}, {"empty", ""}});
    CHECK(last_line == R"(bad why="a \"b\"\x0ac" empty="")");
    set_note_sink(nullptr);
}

TEST_CASE("notes: what is below the level is not told") {
    set_note_sink(&keep);
    set_note_level(NoteLevel::warning);
    note(NoteLevel::warning, "told");
    note(NoteLevel::info, "not told");
    CHECK(last_line == "told");
    note(NoteLevel::error, "told, too");
    CHECK(last_line == "told, too");
    set_note_level(NoteLevel::info);
    set_note_sink(nullptr);
}

}  // namespace tanist
