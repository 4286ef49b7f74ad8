#include "replicator/node/voter_list.h"

#include <algorithm>

#include "failover/core/epoch_parts.h"
#include "replicator/base/file.h"
#include "replicator/base/hash.h"

namespace tanist {
namespace {

constexpr uint32_t kMagic = 0x4C56'4E54;  // "TNVL"
constexpr uint16_t kVersion = 1;
constexpr size_t kPrefixBytes = 12;
constexpr size_t kNameBytesMax = 100;
constexpr size_t kEndpointBytesMax = 255;
constexpr size_t kFileBytesMax = 32u << 10;

VoterAddress take_address(ByteReader& in) {
    VoterAddress address;
    in.into(address.node.bytes);
    const uint8_t secured = in.u8();
    address.secured = secured == 1;
    if (secured > 1) in.raw(in.left() + 1);  // too long a read fails it
    address.name = in.text(kNameBytesMax);
    address.endpoint = in.text(kEndpointBytesMax);
    return address;
}

bool belong_together(const VoterList& list) {
    return std::equal(list.addresses.begin(), list.addresses.end(), list.config.members.begin(),
                      list.config.members.end(),
                      [](const VoterAddress& address, const failover::Member& member) {
                          return address.node == member.node;
                      });
}

failover::TimingProfile profile_of(FailoverSettings::Profile profile) {
    switch (profile) {
        case FailoverSettings::Profile::lan:
            return failover::TimingProfile::lan;
        case FailoverSettings::Profile::wan:
            return failover::TimingProfile::wan;
        case FailoverSettings::Profile::standard:
            break;
    }
    return failover::TimingProfile::standard;
}

// How many confirmations, of which level, and what is done when they do not come.
Status take_commit_rule(const CommitPolicy& commit, uint32_t replicas, failover::Config& config) {
    if (commit.rule.level == AckLevel::received) {
        return Error{Errc::refused,
                     "failover = \"automatic\" with ack = \"" + to_string(commit.rule) +
                         "\" is not supported: a replica's power cut could undo what it said; "
                         "use durable:K"};
    }
    config.sync_k = 0;
    if (!commit.rule.waits()) return ok_status();
    if (std::string why = why_impossible(commit.rule, replicas); !why.empty()) {
        return Error{Errc::refused, why};
    }
    config.sync_k = static_cast<uint8_t>(replicas_needed(commit.rule, replicas));
    if (commit.on_timeout == OnTimeout::degrade) {
        config.on_unavailable = failover::OnUnavailable::degrade;
        config.timing.degrade_after = Nanos(commit.timeout);
    }
    return ok_status();
}

}  // namespace

const VoterAddress* VoterList::find(const NodeKey& node) const {
    for (const VoterAddress& address : addresses) {
        if (address.node == node) return &address;
    }
    return nullptr;
}

const VoterAddress* VoterList::at(const std::string& endpoint) const {
    for (const VoterAddress& address : addresses) {
        if (address.endpoint == endpoint) return &address;
    }
    return nullptr;
}

Bytes encode(const VoterList& list) {
    Bytes body;
    ByteWriter fields(body);
    failover::encode(list.config, fields);
    fields.u8(static_cast<uint8_t>(list.addresses.size()));
    for (const VoterAddress& address : list.addresses) {
        fields.from(address.node.bytes);
        fields.u8(address.secured ? 1 : 0);
        fields.text(address.name);
        fields.text(address.endpoint);
    }
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMagic);
    out.u16(kVersion);
    out.u16(0);
    out.u32(static_cast<uint32_t>(body.size()));
    out.raw(body);
    out.u64(hash64(bytes));
    return bytes;
}

Result<VoterList> decode_voter_list(ByteView bytes) {
    const Error bad{Errc::corrupt, "the list of voters is damaged"};
    ByteReader in(bytes);
    if (in.u32() != kMagic) return bad;
    if (const uint16_t version = in.u16(); version != kVersion) {
        return Error{Errc::version, "the list of voters has version " + std::to_string(version) +
                                        ", this Tanist knows version " + std::to_string(kVersion)};
    }
    if (in.u16() != 0) return bad;
    const size_t body_bytes = in.u32();
    ByteReader body(in.raw(body_bytes));
    const uint64_t sum = in.u64();
    if (!in.ok() || in.left() != 0) return bad;
    if (sum != hash64(bytes.first(kPrefixBytes + body_bytes))) return bad;
    VoterList list;
    Result<failover::Config> config = failover::decode_config(body);
    if (!config) return std::move(config).error();
    list.config = std::move(config).value();
    const size_t count = body.u8();
    for (size_t i = 0; i < count && body.ok(); ++i) list.addresses.push_back(take_address(body));
    if (!body.ok() || body.left() != 0 || !belong_together(list)) return bad;
    if (std::string why = failover::why_invalid(list.config); !why.empty()) {
        return Error{Errc::corrupt, "the list of voters: " + why};
    }
    return list;
}

Result<std::optional<VoterList>> read_voter_list(const std::string& path) {
    Result<Bytes> bytes = read_file(path, kFileBytesMax);
    if (!bytes && bytes.error().code == Errc::not_found) return std::optional<VoterList>();
    if (!bytes) return std::move(bytes).error();
    Result<VoterList> list = decode_voter_list(*bytes);
    if (!list) return std::move(list).error().in(path);
    return std::optional<VoterList>(std::move(list).value());
}

Status write_voter_list(const std::string& path, const VoterList& list) {
    return replace_file(path, encode(list));
}

std::optional<VoterList> list_of(const failover::Config& config, const VoterList& older) {
    VoterList list{config, {}};
    for (const failover::Member& member : config.members) {
        const VoterAddress* address = older.find(member.node);
        if (address == nullptr) return std::nullopt;
        list.addresses.push_back(*address);
    }
    return list;
}

void replace_voter(VoterList& list, const NodeKey& old_key, const NodeKey& new_key) {
    auto& members = list.config.members;
    for (auto& member : members) {
        if (member.node == old_key) member.node = new_key;
    }
    for (VoterAddress& address : list.addresses) {
        if (address.node == old_key) address.node = new_key;
    }
    auto& operators = list.config.operators;
    std::replace(operators.begin(), operators.end(), old_key, new_key);
    std::sort(members.begin(), members.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
    std::sort(list.addresses.begin(), list.addresses.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
}

std::vector<Member> members_under(const VoterList& list, std::vector<Member> held,
                                  const MemberList& keys) {
    const auto taken_off = [&](const NodeKey& key) {
        return keys.version > 0 && !key.is_zero() && keys.node_of(key) == nullptr;
    };
    std::erase_if(held, [&](const Member& member) { return taken_off(member.key); });
    for (const VoterAddress& address : list.addresses) {
        const NodeKey key = address.secured ? address.node : NodeKey{};
        const auto same = [&](const Member& m) { return m.endpoint == address.endpoint; };
        if (taken_off(key) || std::any_of(held.begin(), held.end(), same)) continue;
        const failover::Member* voter = list.config.find(address.node);
        held.push_back({.name = address.name,
                        .endpoint = address.endpoint,
                        .key = key,
                        .witness = voter != nullptr && voter->witness});
    }
    return held;
}

VoterList step_towards(const VoterList& wanted, const VoterList& now, Epoch epoch,
                       failover::ConfigId own) {
    VoterList next = now.config.id == own ? wanted : now;
    next.config.id = {epoch, now.config.id.version + 1};
    return next;
}

std::optional<VoterList> with_k_again(const VoterList& now, const AckRule& ack) {
    const uint32_t most = failover::k_max(now.config);
    const bool was_forced = failover::parts_of(now.config.id.epoch).generation > 0;
    const bool asynchronous = now.config.lag_max_on_failover > 0;
    if (!was_forced || asynchronous || ack.level < AckLevel::durable) return std::nullopt;
    VoterList raised = now;
    raised.config.sync_k = static_cast<uint8_t>(std::min(replicas_needed(ack, most), most));
    if (raised.config.sync_k <= now.config.sync_k) return std::nullopt;
    return raised;
}

Result<VoterList> found_voters(const ClusterId& cluster, const GroupId& group,
                               failover::ConfigId id, const Settings& settings,
                               std::vector<VoterFacts> voters) {
    std::sort(voters.begin(), voters.end(), [](const VoterFacts& a, const VoterFacts& b) {
        return a.address.node < b.address.node;
    });
    VoterList list;
    failover::Config& config = list.config;
    config.cluster = cluster;
    config.group = group;
    config.id = id;
    config.timing = failover::timing_of(profile_of(settings.failover.profile));
    uint32_t data_members = 0;
    for (const VoterFacts& voter : voters) {
        config.members.push_back({.node = voter.address.node,
                                  .priority = voter.priority,
                                  .witness = voter.witness,
                                  .nofailover = voter.nofailover});
        list.addresses.push_back(voter.address);
        if (voter.witness) continue;
        ++data_members;
        // Whoever commands a data member's daemon may order its promotion.
        if (config.operators.size() < failover::kOperatorsMax) {
            config.operators.push_back(voter.address.node);
        }
    }
    TANIST_TRY(take_commit_rule(settings.commit, data_members - 1, config));
    config.lease_mode = settings.failover.writes_only ? failover::LeaseMode::writes_only
                                                      : failover::LeaseMode::full;
    config.on_app_exit = settings.failover.release_on_app_exit ? failover::OnAppExit::release
                                                               : failover::OnAppExit::keep;
    config.lag_max_on_failover = settings.failover.lag_commits_max;
    if (std::string why = failover::why_invalid(config); !why.empty()) {
        return Error{Errc::refused, why};
    }
    return list;
}

}  // namespace tanist
