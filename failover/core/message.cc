#include "failover/core/message.h"

#include <array>

namespace tanist::failover {
namespace {

constexpr uint32_t kMessageMagic = 0x4F46'4E54;  // "TNFO"

void put(const Renew& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.seq);
    out.u64(m.end.epoch.value);
    out.u64(m.end.lsn.value);
    out.u64(m.committed.epoch.value);
    out.u64(m.committed.lsn.value);
    encode(m.policy, out);
}
void put(const RenewAck& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.seq);
    out.u64(m.promised.value);
}
void put(const VoteAsk& m, ByteWriter& out) {
    encode(m.terms, out);
    out.u8(static_cast<uint8_t>((m.pre ? 1 : 0) | (m.release ? 2 : 0) | (m.order ? 4 : 0)));
    if (m.release) encode(*m.release, out);
    if (m.order) encode(*m.order, out);
}
void put(const PreGrant& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.nonce);
    out.u8(m.is_data ? 1 : 0);
    encode(m.policy, out);
    out.u64(m.promised.value);
}
void put(const VoteGrant& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.nonce);
    encode(m.grant, out);
}
void put(const Refuse& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.nonce);
    out.u8(static_cast<uint8_t>((m.pre ? 1 : 0) | (m.token ? 2 : 0)));
    out.u8(static_cast<uint8_t>(m.reason));
    out.u64(m.promised.value);
    out.u64(m.end.epoch.value);
    out.u64(m.end.lsn.value);
    out.u64(m.config.epoch.value);
    out.u32(m.config.version);
    out.i64(m.remaining.count());
    if (m.token) encode(*m.token, out);
}
void put(const Announce& m, ByteWriter& out) { encode(m.token, out); }
void put(const PolicyStore& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    encode(m.policy, out);
}
void put(const PolicyStored& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.id.epoch.value);
    out.u32(m.id.step);
}
void put(const Release& m, ByteWriter& out) { encode(m.cert, out); }
void put(const PromiseAsk& m, ByteWriter& out) { out.u64(m.nonce); }
void put(const PromiseTold& m, ByteWriter& out) {
    out.u64(m.nonce);
    out.u64(m.promised.value);
    encode(m.policy, out);
    out.u8(m.lost ? 1 : 0);
}

void put(const EndAsk& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.nonce);
}
void put(const EndTold& m, ByteWriter& out) {
    out.u64(m.epoch.value);
    out.u64(m.nonce);
    out.u64(m.end.value);
}

// Each returns whether every flag and number is one it knows; lengths are the reader's to check.
bool get(ByteReader& in, Renew& m) {
    m.epoch = Epoch(in.u64());
    m.seq = in.u64();
    m.end.epoch = Epoch(in.u64());
    m.end.lsn = Lsn(in.u64());
    m.committed.epoch = Epoch(in.u64());
    m.committed.lsn = Lsn(in.u64());
    m.policy = decode_policy(in);
    return true;
}
bool get(ByteReader& in, RenewAck& m) {
    m.epoch = Epoch(in.u64());
    m.seq = in.u64();
    m.promised = Epoch(in.u64());
    return true;
}
bool get(ByteReader& in, VoteAsk& m) {
    m.terms = decode_terms(in);
    const uint8_t flags = in.u8();
    m.pre = (flags & 1) != 0;
    if ((flags & 2) != 0) m.release = decode_release(in);
    if ((flags & 4) != 0) m.order = decode_order(in);
    return flags < 8;
}
bool get(ByteReader& in, PreGrant& m) {
    m.epoch = Epoch(in.u64());
    m.nonce = in.u64();
    const uint8_t is_data = in.u8();
    m.is_data = is_data == 1;
    m.policy = decode_policy(in);
    m.promised = Epoch(in.u64());
    return is_data < 2;
}
bool get(ByteReader& in, VoteGrant& m) {
    m.epoch = Epoch(in.u64());
    m.nonce = in.u64();
    m.grant = decode_grant(in);
    return true;
}
bool get(ByteReader& in, Refuse& m) {
    m.epoch = Epoch(in.u64());
    m.nonce = in.u64();
    const uint8_t flags = in.u8(), reason = in.u8();
    m.pre = (flags & 1) != 0;
    m.reason = static_cast<RefuseReason>(reason);
    m.promised = Epoch(in.u64());
    m.end.epoch = Epoch(in.u64());
    m.end.lsn = Lsn(in.u64());
    m.config.epoch = Epoch(in.u64());
    m.config.version = in.u32();
    m.remaining = Nanos(in.i64());
    if (flags > 3 || reason < 1 || reason > static_cast<uint8_t>(RefuseReason::lost_ballot)) {
        return false;
    }
    if ((flags & 2) != 0) {
        Result<Token> token = decode_token(in);
        if (!token.ok()) return false;
        m.token = *std::move(token);
    }
    return true;
}
bool get(ByteReader& in, Announce& m) {
    Result<Token> token = decode_token(in);
    if (!token.ok()) return false;
    m.token = *std::move(token);
    return true;
}
bool get(ByteReader& in, PolicyStore& m) {
    m.epoch = Epoch(in.u64());
    m.policy = decode_policy(in);
    return true;
}
bool get(ByteReader& in, PolicyStored& m) {
    m.epoch = Epoch(in.u64());
    m.id.epoch = Epoch(in.u64());
    m.id.step = in.u32();
    return true;
}
bool get(ByteReader& in, Release& m) {
    m.cert = decode_release(in);
    return true;
}
bool get(ByteReader& in, PromiseAsk& m) {
    m.nonce = in.u64();
    return true;
}
bool get(ByteReader& in, PromiseTold& m) {
    m.nonce = in.u64();
    m.promised = Epoch(in.u64());
    m.policy = decode_policy(in);
    const uint8_t lost = in.u8();
    m.lost = lost == 1;
    return lost < 2;
}

bool get(ByteReader& in, EndAsk& m) {
    m.epoch = Epoch(in.u64());
    m.nonce = in.u64();
    return true;
}
bool get(ByteReader& in, EndTold& m) {
    m.epoch = Epoch(in.u64());
    m.nonce = in.u64();
    m.end = Lsn(in.u64());
    return true;
}

template <size_t I>
bool get_alternative(ByteReader& in, Message& message) {
    return get(in, message.emplace<I>());
}

using Getter = bool (*)(ByteReader&, Message&);
template <size_t... I>
constexpr std::array<Getter, sizeof...(I)> getters(std::index_sequence<I...>) {
    return {get_alternative<I>...};
}
constexpr size_t kTypes = std::variant_size_v<Message>;
constexpr auto kGetters = getters(std::make_index_sequence<kTypes>());
constexpr std::array<const char*, kTypes> kNames = {
    "renew",       "renew_ack",    "vote_ask",     "pre_grant",     "vote_grant",
    "refuse",      "announce",     "policy_store", "policy_stored", "release",
    "promise_ask", "promise_told", "end_ask",      "end_told"};

}  // namespace

const char* to_string(RefuseReason reason) {
    switch (reason) {
        case RefuseReason::not_electable:
            return "not electable";
        case RefuseReason::stale:
            return "a higher or equal epoch is promised";
        case RefuseReason::config:
            return "the config is newer here";
        case RefuseReason::lease:
            return "a promise to another holder is alive";
        case RefuseReason::restarted:
            return "restarted a moment ago";
        case RefuseReason::log:
            return "its log goes further";
        case RefuseReason::paused:
            return "failover is paused";
        case RefuseReason::lag:
            return "too much would be lost";
        case RefuseReason::need_token:
            return "it has no token of that epoch";
        case RefuseReason::lost_ballot:
            return "it lost its ballot";
    }
    return "?";
}

const char* name_of(const Message& message) { return kNames[message.index()]; }

Bytes encode(const Message& message) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kMessageMagic);
    out.u16(kMessageVersion);
    out.u16(static_cast<uint16_t>(message.index() + 1));
    std::visit([&](const auto& m) { put(m, out); }, message);
    return bytes;
}

Result<Message> decode_message(ByteView bytes) {
    const Error bad{Errc::corrupt, "a failover message is damaged"};
    if (bytes.size() > kMessageBytesMax) return bad;
    ByteReader in(bytes);
    if (in.u32() != kMessageMagic) return bad;
    const uint16_t version = in.u16();
    if (in.ok() && version != kMessageVersion) {
        return Error{Errc::version, "a failover message has version " + std::to_string(version) +
                                        ", this program speaks " + std::to_string(kMessageVersion)};
    }
    const uint16_t type = in.u16();
    if (!in.ok() || type < 1 || type > kTypes) return bad;
    Message message;
    if (!kGetters[type - 1](in, message) || !in.ok() || in.left() != 0) return bad;
    return message;
}

}  // namespace tanist::failover
