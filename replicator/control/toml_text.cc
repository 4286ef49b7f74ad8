#include "replicator/control/toml_text.h"

#include <algorithm>
#include <charconv>

#include "replicator/base/file.h"

// The package's flags ask for its shared library, which has exceptions on and would be loaded into
// every application; this file compiles the parser in instead.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#undef TOML_EXCEPTIONS
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace tanist {
namespace {

constexpr uint64_t kTomlBytesMax = 1u << 20;

// toml++ 3.3 reaches code that is marked unreachable at some letters beyond ASCII, wherever it
// takes them for a part of a key or a number. So it is shown ASCII only: a byte beyond it is ~ and
// two digits, and so is ~ itself. Bytes that are not UTF-8 pass; a path may have them.
std::string to_ascii(std::string_view text) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string ascii;
    ascii.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80 && c != '~') {
            ascii.push_back(c);
        } else {
            ascii += {'~', kDigits[byte >> 4], kDigits[byte & 15]};
        }
    }
    return ascii;
}

std::string from_ascii(std::string_view ascii) {
    std::string text;
    text.reserve(ascii.size());
    for (size_t i = 0; i < ascii.size(); ++i) {
        unsigned byte = static_cast<unsigned char>(ascii[i]);
        if (ascii[i] == '~' && i + 2 < ascii.size()) {
            std::from_chars(&ascii[i + 1], &ascii[i + 1] + 2, byte, 16);
            i += 2;
        }
        text.push_back(static_cast<char>(byte));
    }
    return text;
}

Result<TomlValue> value_of(const toml::node& node) {
    if (auto text = node.value_exact<std::string>()) return TomlValue(from_ascii(*text));
    if (auto number = node.value_exact<int64_t>()) return TomlValue(*number);
    if (auto flag = node.value_exact<bool>()) return TomlValue(*flag);
    if (const toml::array* array = node.as_array()) {
        std::vector<std::string> texts;
        for (const toml::node& item : *array) {
            auto text = item.value_exact<std::string>();
            if (!text) return Error{Errc::invalid, "every item of a list is a \"string\""};
            texts.push_back(from_ascii(*text));
        }
        return TomlValue(std::move(texts));
    }
    return Error{Errc::invalid, "a value is a \"string\", a whole number, true, false, or a list"};
}

Status flatten(const std::string& path, const toml::table& table, const std::string& name,
               size_t index, std::vector<TomlEntry>& out) {
    for (auto&& [key, node] : table) {
        auto line = static_cast<uint32_t>(node.source().begin.line);
        Result<TomlValue> value = value_of(node);
        const std::string known = from_ascii(key.str());
        if (!value) return toml_error(path, line, known + ": " + value.error().message);
        out.push_back({name, index, known, std::move(*value), line});
    }
    return ok_status();
}

Status flatten_root(const std::string& path, const toml::table& root, std::vector<TomlEntry>& out) {
    toml::table plain;
    for (auto&& [key, node] : root) {
        const std::string name = from_ascii(key.str());
        if (const toml::table* table = node.as_table()) {
            TANIST_TRY(flatten(path, *table, name, 0, out));
            continue;
        }
        const toml::array* array = node.as_array();
        if (array != nullptr && !array->empty() && array->is_homogeneous<toml::table>()) {
            for (size_t i = 0; i < array->size(); ++i) {
                TANIST_TRY(flatten(path, *array->get(i)->as_table(), name, i, out));
            }
            continue;
        }
        auto line = static_cast<uint32_t>(node.source().begin.line);
        Result<TomlValue> value = value_of(node);
        if (!value) return toml_error(path, line, name + ": " + value.error().message);
        out.push_back({"", 0, name, std::move(*value), line});
    }
    return ok_status();
}

std::string_view after_blanks(std::string_view text) {
    return text.substr(std::min(text.find_first_not_of(" \t\r"), text.size()));
}

// toml++ 3.3 asserts that a table's name begins as a key does instead of checking it: [$x] would
// abort the application, or be undefined behaviour where assertions are off. A line that begins
// with a bracket is taken for a header wherever it stands; that is too strict only for lists of
// lists and strings of several lines, which no file of ours has.
bool is_sound_header(std::string_view line) {
    line = after_blanks(line);
    if (!line.starts_with('[')) return true;
    line = after_blanks(line.substr(1));
    if (line.starts_with('[')) line = after_blanks(line.substr(1));
    if (line.empty()) return false;
    const char c = line.front();
    const bool alphanumeric =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    // "[]" is refused by toml++ itself.
    return alphanumeric || std::string_view("_-\"']").find(c) != std::string_view::npos;
}

// As escapes they would be taken for those of to_ascii().
Status check_escapes(const std::string& path, std::string_view text) {
    for (const char* tilde : {"\\u007e", "\\u007E", "\\U0000007e", "\\U0000007E"}) {
        const size_t at = text.find(tilde);
        if (at == std::string_view::npos) continue;
        const auto line =
            static_cast<uint32_t>(1 + std::count(text.begin(), text.begin() + at, '\n'));
        return toml_error(path, line, std::string(tilde) + " is to be written as ~ itself");
    }
    return ok_status();
}

Status check_headers(const std::string& path, std::string_view text) {
    for (uint32_t line = 1; !text.empty(); ++line) {
        const size_t end = std::min(text.find('\n'), text.size());
        if (!is_sound_header(text.substr(0, end))) {
            return toml_error(
                path, line, "the name of a [table] begins with a letter, a digit, _, - or a quote");
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return ok_status();
}

}  // namespace

Error toml_error(const std::string& path, uint32_t line, const std::string& sentence) {
    return {Errc::invalid, path + ":" + std::to_string(line) + ": " + sentence};
}

Result<std::vector<TomlEntry>> parse_toml(const std::string& path, std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
    TANIST_TRY(check_escapes(path, text));
    const std::string ascii = to_ascii(text);
    TANIST_TRY(check_headers(path, ascii));
    toml::parse_result parsed = toml::parse(ascii);
    if (!parsed) {
        auto line = static_cast<uint32_t>(parsed.error().source().begin.line);
        return toml_error(path, line, from_ascii(parsed.error().description()));
    }
    std::vector<TomlEntry> entries;
    TANIST_TRY(flatten_root(path, parsed.table(), entries));
    std::stable_sort(entries.begin(), entries.end(),
                     [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
    return entries;
}

Result<std::vector<TomlEntry>> read_toml(const std::string& path) {
    Result<Bytes> bytes = read_file(path, kTomlBytesMax);
    if (!bytes) {
        if (bytes.error().code == Errc::not_found) return std::vector<TomlEntry>{};
        return std::move(bytes).error();
    }
    if (std::string why = why_file_is_untrusted(path); !why.empty()) {
        return Error{Errc::refused, why};
    }
    return parse_toml(path, {reinterpret_cast<const char*>(bytes->data()), bytes->size()});
}

std::string toml_quote(std::string_view text) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string quoted = "\"";
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            quoted.push_back('\\');
            quoted.push_back(c);
        } else if (byte < 0x20 || byte == 0x7f) {
            quoted += "\\u00";
            quoted.push_back(kDigits[byte >> 4]);
            quoted.push_back(kDigits[byte & 15]);
        } else {
            quoted.push_back(c);
        }
    }
    return quoted + "\"";
}

}  // namespace tanist
