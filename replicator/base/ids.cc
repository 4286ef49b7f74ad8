#include "replicator/base/ids.h"

#include <charconv>

namespace tanist {

std::string to_string(Position position) {
    return std::to_string(position.epoch.value) + ":" + std::to_string(position.lsn.value);
}

std::optional<Position> parse_position(std::string_view text) {
    size_t colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto number = [](std::string_view part, uint64_t& out) {
        auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), out);
        return error == std::errc{} && end == part.data() + part.size() && !part.empty();
    };
    Position position;
    if (!number(text.substr(0, colon), position.epoch.value)) return std::nullopt;
    if (!number(text.substr(colon + 1), position.lsn.value)) return std::nullopt;
    return position;
}

std::string hex(const uint8_t* bytes, size_t count) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(count * 2);
    for (size_t i = 0; i < count; ++i) {
        text.push_back(kDigits[bytes[i] >> 4]);
        text.push_back(kDigits[bytes[i] & 15]);
    }
    return text;
}

bool parse_hex(std::string_view text, uint8_t* out, size_t count) {
    if (text.size() != count * 2) return false;
    auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    };
    for (size_t i = 0; i < count; ++i) {
        int high = digit(text[2 * i]);
        int low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = static_cast<uint8_t>(high * 16 + low);
    }
    return true;
}

}  // namespace tanist
