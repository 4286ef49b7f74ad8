#include "failover/output.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace tanist {

void print_line(const std::string& text) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
}

void print_json(const Json& json) {
    // Paths may hold bytes that are not UTF-8.
    print_line(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

int print_error(const Error& error, bool json, ExitCode code) {
    if (json) {
        print_json({{"error", {{"code", to_string(error.code)}, {"message", error.message}}}});
    } else {
        std::fprintf(stderr, "tanist: %s\n", error.message.c_str());
    }
    return code;
}

int print_error(const Error& error, bool json) {
    return print_error(error, json, exit_code_of(error));
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line += std::string(widths[i] - row[i].size() + 2, ' ');
        }
        while (line.ends_with(' ')) line.pop_back();
        text += (text.empty() ? "" : "\n") + line;
    }
    return text;
}

std::string say_bytes(uint64_t bytes) {
    static constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < kUnits.size()) {
        value /= 1000;
        ++unit;
    }
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
    return text.data();
}

std::string say_seconds(double seconds) {
    std::array<char, 32> text;
    if (seconds < 120) {
        std::snprintf(text.data(), text.size(), seconds < 0.1 ? "%.3f s" : "%.1f s", seconds);
    } else if (seconds < 7200) {
        std::snprintf(text.data(), text.size(), "%.0f min", seconds / 60);
    } else {
        std::snprintf(text.data(), text.size(), "%.0f h", seconds / 3600);
    }
    return text.data();
}

bool operator_agrees() {
    std::printf("Do it? [y/N] ");
    std::fflush(stdout);
    std::array<char, 16> answer{};
    if (std::fgets(answer.data(), answer.size(), stdin) == nullptr) return false;
    return answer[0] == 'y' || answer[0] == 'Y';
}

}  // namespace tanist
