#include "replicator/control/ack_rule.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace tanist {
namespace {

constexpr uint32_t kMajorityBit = 1u << 24;

struct LevelName {
    const char* name;
    AckLevel level;
};
constexpr std::array<LevelName, 3> kLevels = {{{"received", AckLevel::received},
                                               {"durable", AckLevel::durable},
                                               {"applied", AckLevel::applied}}};

Error not_one_of(const std::string& text, const char* allowed) {
    return Error{Errc::invalid, "\"" + text + "\" is none of " + allowed};
}

Lsn reached(const AckRule& rule, const AckPoint& point) {
    switch (rule.level) {
        case AckLevel::received:
            return point.received;
        case AckLevel::durable:
            return point.durable;
        case AckLevel::applied:
            return point.applied;
        case AckLevel::async:
            break;
    }
    return Lsn(0);
}

}  // namespace

Result<AckRule> parse_ack_rule(const std::string& text) {
    constexpr char kAllowed[] =
        "async, received:K, durable:K, applied:K, durable:majority (K replicas, at least 1)";
    if (text == "async") return AckRule{};
    if (text == "durable:majority") return AckRule{AckLevel::durable, 0, true};
    for (const LevelName& level : kLevels) {
        const std::string prefix = std::string(level.name) + ":";
        if (!text.starts_with(prefix)) continue;
        const char* from = text.data() + prefix.size();
        const char* end = text.data() + text.size();
        uint16_t replicas = 0;
        const auto [at, error] = std::from_chars(from, end, replicas);
        if (error != std::errc{} || at != end || replicas == 0) break;
        return AckRule{level.level, replicas, false};
    }
    return not_one_of(text, kAllowed);
}

Result<CommitMode> parse_commit_mode(const std::string& text) {
    if (text == "before_visible") return CommitMode::before_visible;
    if (text == "pipelined") return CommitMode::pipelined;
    return not_one_of(text, "before_visible, pipelined");
}

Result<OnTimeout> parse_on_timeout(const std::string& text) {
    if (text == "fail") return OnTimeout::fail;
    if (text == "degrade") return OnTimeout::degrade;
    if (text == "wait") return OnTimeout::wait;
    return not_one_of(text, "fail, degrade, wait");
}

std::string to_string(const AckRule& rule) {
    if (rule.majority) return "durable:majority";
    for (const LevelName& level : kLevels) {
        if (level.level != rule.level) continue;
        return std::string(level.name) + ":" + std::to_string(rule.replicas);
    }
    return "async";
}

const char* to_string(CommitMode mode) {
    return mode == CommitMode::pipelined ? "pipelined" : "before_visible";
}

const char* to_string(OnTimeout on_timeout) {
    switch (on_timeout) {
        case OnTimeout::fail:
            return "fail";
        case OnTimeout::degrade:
            return "degrade";
        case OnTimeout::wait:
            return "wait";
    }
    return "?";
}

uint32_t pack(const AckRule& rule) {
    return rule.replicas | static_cast<uint32_t>(rule.level) << 16 |
           (rule.majority ? kMajorityBit : 0);
}

AckRule unpack_ack_rule(uint32_t word) {
    return {static_cast<AckLevel>(word >> 16 & 3), static_cast<uint16_t>(word),
            (word & kMajorityBit) != 0};
}

uint32_t replicas_needed(const AckRule& rule, uint32_t replicas) {
    // Of n + 1 data members, (n + 1) / 2 + 1 are a majority; the primary is one of them.
    return rule.majority ? std::max(1u, (replicas + 1) / 2) : rule.replicas;
}

std::string why_impossible(const AckRule& rule, uint32_t replicas) {
    const uint32_t needed = rule.waits() ? replicas_needed(rule, replicas) : 0;
    if (needed <= replicas) return "";
    const std::string has = replicas == 0   ? "no replica"
                            : replicas == 1 ? "only 1 replica"
                                            : "only " + std::to_string(replicas) + " replicas";
    return to_string(rule) + " can never be satisfied: this database has " + has +
           "; add one with `tanist members add`, or ask for less";
}

Lsn confirmed(const AckRule& rule, std::span<const AckPoint> points, uint32_t replicas) {
    const uint32_t needed = replicas_needed(rule, replicas);
    if (needed == 0 || needed > points.size()) return Lsn(0);
    // Few replicas, and no memory may be asked for on the way: the needed-th highest by counting.
    Lsn best(0);
    for (const AckPoint& candidate : points) {
        const Lsn lsn = reached(rule, candidate);
        const auto as_far = std::count_if(points.begin(), points.end(), [&](const AckPoint& point) {
            return reached(rule, point) >= lsn;
        });
        if (as_far >= needed) best = std::max(best, lsn);
    }
    return best;
}

bool satisfied(const AckRule& rule, std::span<const AckPoint> points, uint32_t replicas, Lsn lsn) {
    const uint32_t needed = std::max(1u, replicas_needed(rule, replicas));
    const auto there = std::count_if(points.begin(), points.end(), [&](const AckPoint& point) {
        return reached(rule, point) >= lsn;
    });
    return there >= needed;
}

uint32_t used_percent(const LagBound& bound, const AtRisk& risk) {
    uint64_t used = 0;
    switch (bound.unit) {
        case LagBound::Unit::none:
            return 0;
        case LagBound::Unit::bytes:
            used = risk.bytes;
            break;
        case LagBound::Unit::commits:
            used = risk.commits;
            break;
        case LagBound::Unit::milliseconds:
            used = static_cast<uint64_t>(risk.age.count()) / 1'000'000;
            break;
    }
    const double percent = 100.0 * static_cast<double>(used) /
                           static_cast<double>(std::max<uint64_t>(1, bound.amount));
    return static_cast<uint32_t>(std::min(percent, 4'000'000'000.0));
}

}  // namespace tanist
