#include "replicator/control/toml_text.h"

#include <algorithm>

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

Result<TomlValue> value_of(const toml::node& node) {
    if (auto text = node.value_exact<std::string>()) return TomlValue(*text);
    if (auto number = node.value_exact<int64_t>()) return TomlValue(*number);
    if (auto flag = node.value_exact<bool>()) return TomlValue(*flag);
    if (const toml::array* array = node.as_array()) {
        std::vector<std::string> texts;
        for (const toml::node& item : *array) {
            auto text = item.value_exact<std::string>();
            if (!text) return Error{Errc::invalid, "every item of a list is a \"string\""};
            texts.push_back(*text);
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
        if (!value) {
            return toml_error(path, line, std::string(key.str()) + ": " + value.error().message);
        }
        out.push_back({name, index, std::string(key.str()), std::move(*value), line});
    }
    return ok_status();
}

Status flatten_root(const std::string& path, const toml::table& root, std::vector<TomlEntry>& out) {
    toml::table plain;
    for (auto&& [key, node] : root) {
        std::string name(key.str());
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

// toml++ 3.3 looks at some letters beyond ASCII with code that the compiler was told cannot be
// reached. Inside of quotes and comments it does not, and nothing of ours needs them elsewhere.
// Strings of several lines would make it depend on other lines what is inside; no file has them.
std::string_view why_unsound_letters(std::string_view line) {
    char quote = 0;
    for (size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (quote != 0) {
            if (c == '\\' && quote == '"') ++i;
            if (c == quote) quote = 0;
        } else if (c == '#') {
            return {};
        } else if (c == '"' || c == '\'') {
            if (line.substr(i, 3) == std::string(3, c)) return "a string stands on one line here";
            quote = c;
        } else if (static_cast<unsigned char>(c) >= 0x80) {
            return "outside of quotes and comments only ASCII is read";
        }
    }
    return {};
}

Status check_lines(const std::string& path, std::string_view text) {
    // A byte order mark is not part of the first line, to toml++ either.
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    for (uint32_t line = 1; !text.empty(); ++line) {
        const size_t end = std::min(text.find('\n'), text.size());
        if (!is_sound_header(text.substr(0, end))) {
            return toml_error(
                path, line, "the name of a [table] begins with a letter, a digit, _, - or a quote");
        }
        const std::string_view why = why_unsound_letters(text.substr(0, end));
        if (!why.empty()) return toml_error(path, line, std::string(why));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return ok_status();
}

}  // namespace

Error toml_error(const std::string& path, uint32_t line, const std::string& sentence) {
    return {Errc::invalid, path + ":" + std::to_string(line) + ": " + sentence};
}

Result<std::vector<TomlEntry>> parse_toml(const std::string& path, std::string_view text) {
    TANIST_TRY(check_lines(path, text));
    toml::parse_result parsed = toml::parse(text);
    if (!parsed) {
        auto line = static_cast<uint32_t>(parsed.error().source().begin.line);
        return toml_error(path, line, std::string(parsed.error().description()));
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
