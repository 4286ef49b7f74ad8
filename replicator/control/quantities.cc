// Sizes, durations and bounds as people write them in settings.
#include <array>
#include <charconv>

#include "replicator/control/settings.h"

namespace tanist {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAckTimeoutCeiling = std::chrono::hours(24);

Error wrong(const std::string& sentence) { return {Errc::invalid, sentence}; }

struct QuantityUnit {
    const char* name;
    uint64_t factor;
};

// A whole number and one of `units`, spaces between them allowed.
template <size_t N>
std::optional<uint64_t> parse_quantity(std::string_view text,
                                       const std::array<QuantityUnit, N>& units) {
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    while (text.starts_with(' ')) text.remove_prefix(1);
    for (const QuantityUnit& unit : units) {
        if (text != unit.name) continue;
        uint64_t product = 0;
        if (__builtin_mul_overflow(number, unit.factor, &product)) return std::nullopt;
        return product;
    }
    return std::nullopt;
}

constexpr std::array<QuantityUnit, 11> kSizeUnits = {{{"", 1},
                                                      {"B", 1},
                                                      {"kB", 1000},
                                                      {"KB", 1000},
                                                      {"MB", 1'000'000},
                                                      {"GB", 1'000'000'000},
                                                      {"TB", 1'000'000'000'000},
                                                      {"KiB", 1ull << 10},
                                                      {"MiB", 1ull << 20},
                                                      {"GiB", 1ull << 30},
                                                      {"TiB", 1ull << 40}}};
constexpr std::array<QuantityUnit, 5> kTimeUnits = {
    {{"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

}  // namespace

Result<uint64_t> parse_size(const std::string& text) {
    std::optional<uint64_t> bytes = parse_quantity(text, kSizeUnits);
    if (!bytes) {
        return wrong("\"" + text +
                     "\" is not a size: write a whole number and B, kB, MB, GB, KiB, "
                     "MiB or GiB");
    }
    return *bytes;
}

Result<milliseconds> parse_duration(const std::string& text) {
    std::optional<uint64_t> count = parse_quantity(text, kTimeUnits);
    if (!count || *count > static_cast<uint64_t>(INT64_MAX)) {
        return wrong("\"" + text +
                     "\" is not a duration: write a whole number and ms, s, min, h or d");
    }
    return milliseconds(static_cast<int64_t>(*count));
}

Result<LagBound> parse_lag_bound(const std::string& text) {
    constexpr std::array<QuantityUnit, 2> kCommitUnits = {{{"commits", 1}, {"commit", 1}}};
    if (text == "off") return LagBound{};
    LagBound bound;
    if (auto commits = parse_quantity(text, kCommitUnits)) {
        bound = {LagBound::Unit::commits, *commits};
    } else if (auto millis = parse_quantity(text, kTimeUnits)) {
        bound = {LagBound::Unit::milliseconds, *millis};
    } else if (auto bytes = parse_quantity(text, kSizeUnits)) {
        bound = {LagBound::Unit::bytes, *bytes};
    }
    if (bound.amount == 0) {
        return wrong(
            "\"" + text +
            "\" is no bound: write a size (\"10MB\"), a time (\"5s\"), \"1000 commits\", or "
            "\"off\"");
    }
    return bound;
}

Result<milliseconds> parse_ack_timeout(const std::string& text) {
    Result<milliseconds> duration = parse_duration(text);
    if (!duration) return duration;
    if (duration->count() == 0 || *duration > kAckTimeoutCeiling) {
        return wrong(text + " is out of range: between 1ms and 1d");
    }
    return duration;
}

std::string duration_text(milliseconds duration) {
    const uint64_t count = static_cast<uint64_t>(duration.count());
    const QuantityUnit* best = &kTimeUnits.front();
    for (const QuantityUnit& unit : kTimeUnits) {
        if (count != 0 && count % unit.factor == 0) best = &unit;
    }
    return std::to_string(count / best->factor) + best->name;
}

}  // namespace tanist
