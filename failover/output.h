// How the commands speak: sentences and tables for people, one JSON value for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "replicator/base/exit_code.h"

namespace tanist {

using Json = nlohmann::ordered_json;

void print_line(const std::string& text);
void print_json(const Json& json);
// On stderr for people, {"error": ...} on stdout for programs.
int print_error(const Error& error, bool json);
int print_error(const Error& error, bool json, ExitCode code);

// Columns as wide as their widest cell; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);
std::string say_bytes(uint64_t bytes);    // "1.5 MB"
std::string say_seconds(double seconds);  // "0.2 s", "3 min"
bool operator_agrees();                   // asks, and reads the answer
bool terminal();                          // stdout is one

}  // namespace tanist
