// TOML as this project uses it: one level of tables and arrays of tables, flattened to a list of
// entries that know their line, so that every complaint about a file can name the place.
// toml_text.cc is the only file that includes toml++.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "replicator/base/result.h"

namespace tanist {

using TomlValue = std::variant<std::string, int64_t, bool, std::vector<std::string>>;

struct TomlEntry {
    std::string table;       // "" for keys above the first table
    size_t table_index = 0;  // which one of an array of tables: [[member]]
    std::string key;
    TomlValue value;
    uint32_t line = 0;
};

// In the order of the file. invalid: not TOML, or a value of a kind that no file of ours has;
// the message begins with "<path>:<line>: ".
Result<std::vector<TomlEntry>> parse_toml(const std::string& path, std::string_view text);
// parse_toml of a file; an absent file has no entries. refused: why_file_is_untrusted.
Result<std::vector<TomlEntry>> read_toml(const std::string& path);
// "" when only root, this user or the owner of its directory can have written the file, else one
// sentence: everybody may write it, or it belongs to somebody else.
std::string why_file_is_untrusted(const std::string& path);
// "<path>:<line>: <sentence>"
Error toml_error(const std::string& path, uint32_t line, const std::string& sentence);
// A basic string with its quotes.
std::string toml_quote(std::string_view text);

}  // namespace tanist
