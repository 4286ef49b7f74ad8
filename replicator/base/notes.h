// Structured one-line messages to the operator: level, event, facts. The default sink writes to
// stderr; the extension's sink hands them to sqlite3_log, because it may not print.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tanist {

enum class NoteLevel { info, warning, error };
using NoteFact = std::pair<std::string_view, std::string>;
using NoteSink = void (*)(NoteLevel level, const std::string& line);

// "info", "warning" or "error".
std::optional<NoteLevel> note_level_of(std::string_view name);
const char* to_string(NoteLevel level);

void set_note_sink(NoteSink sink);
// Notes below `least` go nowhere from now on, in every thread. At first everything is told.
void set_note_level(NoteLevel least);
// note(NoteLevel::info, "replica connected", {{"endpoint", e}, {"position", to_string(p)}});
void note(NoteLevel level, std::string_view event, std::initializer_list<NoteFact> facts = {});

}  // namespace tanist
