#include "failover/core/config.h"
#include "failover/core/policy.h"

namespace tanist::failover {
namespace {

constexpr uint8_t kWitness = 1, kNofailover = 2, kNosync = 4;

void encode_side(const std::vector<Member>& side, ByteWriter& out) {
    out.u8(static_cast<uint8_t>(side.size()));
    for (const Member& member : side) {
        out.from(member.node.bytes);
        out.u16(member.priority);
        out.u8(static_cast<uint8_t>((member.witness ? kWitness : 0) |
                                    (member.nofailover ? kNofailover : 0) |
                                    (member.nosync ? kNosync : 0)));
    }
}

bool decode_side(ByteReader& in, std::vector<Member>& side) {
    const size_t count = in.u8();
    if (count > kMembersMax) return false;
    for (size_t i = 0; i < count && in.ok(); ++i) {
        Member member;
        in.into(member.node.bytes);
        member.priority = in.u16();
        const uint8_t flags = in.u8();
        if ((flags & ~(kWitness | kNofailover | kNosync)) != 0) return false;
        member.witness = (flags & kWitness) != 0;
        member.nofailover = (flags & kNofailover) != 0;
        member.nosync = (flags & kNosync) != 0;
        side.push_back(member);
    }
    return in.ok();
}

Nanos duration(ByteReader& in) { return Nanos(in.i64()); }

// An enumeration of 1 to `last`.
bool is_enum(uint8_t value, uint8_t last) { return value >= 1 && value <= last; }

}  // namespace

void encode(const Config& config, ByteWriter& out) {
    out.from(config.cluster.bytes);
    out.from(config.group.bytes);
    out.u64(config.id.epoch.value);
    out.u32(config.id.version);
    encode_side(config.members, out);
    encode_side(config.leaving, out);
    out.u8(static_cast<uint8_t>(config.operators.size()));
    for (const NodeKey& key : config.operators) out.from(key.bytes);
    out.u8(config.sync_k);
    out.u8(static_cast<uint8_t>(config.level));
    out.u8(static_cast<uint8_t>(config.on_unavailable));
    out.u8(static_cast<uint8_t>(config.lease_mode));
    out.u8(static_cast<uint8_t>(config.on_app_exit));
    out.u64(config.lag_max_on_failover);
    const Timing& timing = config.timing;
    for (Nanos time : {timing.heartbeat, timing.lease, timing.promise, timing.guard, timing.round,
                       timing.handover_window, timing.drain, timing.degrade_after}) {
        out.i64(time.count());
    }
    out.u32(timing.drift_permille);
}

Result<Config> decode_config(ByteReader& in) {
    const Error bad{Errc::corrupt, "a failover config is damaged"};
    Config config;
    in.into(config.cluster.bytes);
    in.into(config.group.bytes);
    config.id.epoch = Epoch(in.u64());
    config.id.version = in.u32();
    if (!decode_side(in, config.members) || !decode_side(in, config.leaving)) return bad;
    const size_t operators = in.u8();
    if (operators > kOperatorsMax) return bad;
    config.operators.resize(operators);
    for (NodeKey& key : config.operators) in.into(key.bytes);
    config.sync_k = in.u8();
    const uint8_t level = in.u8(), on_unavailable = in.u8(), lease_mode = in.u8(), exit = in.u8();
    if (!is_enum(level, 3) || !is_enum(on_unavailable, 2) || !is_enum(lease_mode, 2) ||
        !is_enum(exit, 2)) {
        return bad;
    }
    config.level = static_cast<AckLevel>(level);
    config.on_unavailable = static_cast<OnUnavailable>(on_unavailable);
    config.lease_mode = static_cast<LeaseMode>(lease_mode);
    config.on_app_exit = static_cast<OnAppExit>(exit);
    config.lag_max_on_failover = in.u64();
    Timing& timing = config.timing;
    for (Nanos* time :
         {&timing.heartbeat, &timing.lease, &timing.promise, &timing.guard, &timing.round,
          &timing.handover_window, &timing.drain, &timing.degrade_after}) {
        *time = duration(in);
    }
    timing.drift_permille = in.u32();
    if (!in.ok()) return bad;
    if (std::string why = why_invalid(config); !why.empty()) return Error{Errc::corrupt, why};
    return config;
}

void encode(const Policy& policy, ByteWriter& out) {
    out.u64(policy.id.epoch.value);
    out.u32(policy.id.step);
    out.u8(policy.k);
    out.u8(static_cast<uint8_t>(policy.level));
    out.u8(policy.paused ? 1 : 0);
}

Policy decode_policy(ByteReader& in) {
    Policy policy;
    policy.id.epoch = Epoch(in.u64());
    policy.id.step = in.u32();
    policy.k = in.u8();
    const uint8_t level = in.u8(), paused = in.u8();
    if (!is_enum(level, 3) || paused > 1 || policy.k >= kMembersMax) {
        in.raw(in.left() + 1);  // fails the reader
        return policy;
    }
    policy.level = static_cast<AckLevel>(level);
    policy.paused = paused == 1;
    return policy;
}

}  // namespace tanist::failover
