#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>

#include "replicator/base/clock.h"
#include "replicator/base/notes.h"

namespace tanist {
namespace {

// One write per line, so that lines of several threads and processes do not mix.
void write_to_stderr(NoteLevel level, const std::string& line) {
    const int64_t now_ns = unix_now_ns();
    const time_t seconds = static_cast<time_t>(now_ns / 1'000'000'000);
    tm parts{};
    ::gmtime_r(&seconds, &parts);
    char stamp[40];
    size_t length = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(stamp + length, sizeof stamp - length, ".%03dZ ",
                  static_cast<int>(now_ns / 1'000'000 % 1000));
    const std::string whole = stamp + std::string(to_string(level)) + " " + line + "\n";
    // Nobody can be told that telling failed.
    [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, whole.data(), whole.size());
}

std::atomic<NoteSink> current_sink{&write_to_stderr};
std::atomic<NoteLevel> least_level{NoteLevel::info};

// A fact is one word, or a quoted string in which nothing can end the line.
void append_fact(std::string& line, std::string_view text) {
    static constexpr char kDigits[] = "0123456789abcdef";
    const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
    });
    if (plain) {
        line += text;
        return;
    }
    line += '"';
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            line += "\\x";
            line += kDigits[byte >> 4];
            line += kDigits[byte & 15];
            continue;
        }
        if (c == '"' || c == '\\') line += '\\';
        line += c;
    }
    line += '"';
}

constexpr std::array<NoteLevel, 3> kLevels = {NoteLevel::info, NoteLevel::warning,
                                              NoteLevel::error};

}  // namespace

const char* to_string(NoteLevel level) {
    switch (level) {
        case NoteLevel::info:
            return "info";
        case NoteLevel::warning:
            return "warning";
        case NoteLevel::error:
            return "error";
    }
    return "?";
}

std::optional<NoteLevel> note_level_of(std::string_view name) {
    for (NoteLevel level : kLevels) {
        if (name == to_string(level)) return level;
    }
    return std::nullopt;
}

void set_note_sink(NoteSink sink) {
    current_sink.store(sink != nullptr ? sink : &write_to_stderr, std::memory_order_release);
}

void set_note_level(NoteLevel least) { least_level.store(least, std::memory_order_relaxed); }

void note(NoteLevel level, std::string_view event, std::initializer_list<NoteFact> facts) {
    if (level < least_level.load(std::memory_order_relaxed)) return;
    std::string line(event);
    for (const auto& [name, value] : facts) {
        line += ' ';
        line += name;
        line += '=';
        append_fact(line, value);
    }
    current_sink.load(std::memory_order_acquire)(level, line);
}

}  // namespace tanist
