#include "failover/core/token.h"
#include "replicator/base/hash.h"
#include "replicator/base/log_point.h"

namespace tanist::failover {
namespace {

constexpr uint32_t kTokenMagic = 0x4B54'4E54;  // "TNTK"
constexpr uint16_t kTokenVersion = 1;
constexpr size_t kTokenPrefixBytes = 16;

VoteKind decode_kind(ByteReader& in) {
    const uint8_t kind = in.u8();
    if (kind < 1 || kind > static_cast<uint8_t>(VoteKind::forced)) in.raw(in.left() + 1);
    return static_cast<VoteKind>(kind);
}

bool decode_bool(ByteReader& in) {
    const uint8_t value = in.u8();
    if (value > 1) in.raw(in.left() + 1);
    return value == 1;
}

}  // namespace

void encode(const GrantTerms& terms, ByteWriter& out) {
    out.from(terms.cluster.bytes);
    out.from(terms.group.bytes);
    out.u64(terms.epoch.value);
    out.from(terms.candidate.bytes);
    out.u64(terms.nonce);
    out.u64(terms.config.epoch.value);
    out.u32(terms.config.version);
    encode(terms.base, out);
    out.u8(static_cast<uint8_t>(terms.kind));
    out.u64(terms.loss_epoch.value);
}

GrantTerms decode_terms(ByteReader& in) {
    GrantTerms terms;
    in.into(terms.cluster.bytes);
    in.into(terms.group.bytes);
    terms.epoch = Epoch(in.u64());
    in.into(terms.candidate.bytes);
    terms.nonce = in.u64();
    terms.config.epoch = Epoch(in.u64());
    terms.config.version = in.u32();
    terms.base = decode_log_point(in);
    terms.kind = decode_kind(in);
    terms.loss_epoch = Epoch(in.u64());
    return terms;
}

void encode(const Grant& grant, ByteWriter& out) {
    out.from(grant.voter.bytes);
    out.u8(grant.is_data ? 1 : 0);
    encode(grant.policy, out);
    out.from(grant.signature.bytes);
}

Grant decode_grant(ByteReader& in) {
    Grant grant;
    in.into(grant.voter.bytes);
    grant.is_data = decode_bool(in);
    grant.policy = decode_policy(in);
    in.into(grant.signature.bytes);
    return grant;
}

void encode(const ReleaseCert& cert, ByteWriter& out) {
    out.from(cert.cluster.bytes);
    out.from(cert.group.bytes);
    out.u64(cert.epoch.value);
    out.from(cert.holder.bytes);
    out.from(cert.successor.bytes);
    encode(cert.final, out);
    out.u64(cert.nonce);
    out.from(cert.signature.bytes);
}

ReleaseCert decode_release(ByteReader& in) {
    ReleaseCert cert;
    in.into(cert.cluster.bytes);
    in.into(cert.group.bytes);
    cert.epoch = Epoch(in.u64());
    in.into(cert.holder.bytes);
    in.into(cert.successor.bytes);
    cert.final = decode_log_point(in);
    cert.nonce = in.u64();
    in.into(cert.signature.bytes);
    return cert;
}

void encode(const OperatorCert& cert, ByteWriter& out) {
    out.from(cert.cluster.bytes);
    out.from(cert.group.bytes);
    out.u8(static_cast<uint8_t>(cert.kind));
    out.u64(cert.epoch.value);
    out.from(cert.target.bytes);
    out.u64(cert.loss_records);
    out.i64(cert.signed_unix_ns);
    out.from(cert.statement.bytes);
    out.u64(cert.nonce);
    out.from(cert.by.bytes);
    out.from(cert.signature.bytes);
}

OperatorCert decode_order(ByteReader& in) {
    OperatorCert cert;
    in.into(cert.cluster.bytes);
    in.into(cert.group.bytes);
    cert.kind = decode_kind(in);
    cert.epoch = Epoch(in.u64());
    in.into(cert.target.bytes);
    cert.loss_records = in.u64();
    cert.signed_unix_ns = in.i64();
    in.into(cert.statement.bytes);
    cert.nonce = in.u64();
    in.into(cert.by.bytes);
    in.into(cert.signature.bytes);
    return cert;
}

void encode(const Token& token, ByteWriter& out) {
    encode(token.terms, out);
    out.u8(token.release ? 1 : 0);
    if (token.release) encode(*token.release, out);
    out.u8(token.order ? 1 : 0);
    if (token.order) encode(*token.order, out);
    out.u8(static_cast<uint8_t>(token.grants.size()));
    for (const Grant& grant : token.grants) encode(grant, out);
}

Result<Token> decode_token(ByteReader& in) {
    const Error bad{Errc::corrupt, "a token is damaged"};
    Token token;
    token.terms = decode_terms(in);
    if (decode_bool(in)) token.release = decode_release(in);
    if (decode_bool(in)) token.order = decode_order(in);
    const size_t grants = in.u8();
    if (!in.ok() || grants > 2 * kMembersMax) return bad;
    for (size_t i = 0; i < grants && in.ok(); ++i) token.grants.push_back(decode_grant(in));
    if (!in.ok()) return bad;
    return token;
}

Bytes token_file(const Token& token) {
    Bytes body;
    ByteWriter body_out(body);
    encode(token, body_out);
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(kTokenMagic);
    out.u16(kTokenVersion);
    out.u16(kTokenPrefixBytes);
    out.u32(static_cast<uint32_t>(body.size()));
    out.u32(0);
    out.raw(body);
    out.u64(hash64(bytes));
    return bytes;
}

Result<Token> read_token_file(ByteView bytes) {
    const Error bad{Errc::corrupt, "the token file is damaged"};
    ByteReader in(bytes);
    if (in.u32() != kTokenMagic) return bad;
    const uint16_t version = in.u16();
    if (version != kTokenVersion) {
        return Error{Errc::version, "the token file has version " + std::to_string(version) +
                                        ", this program reads " + std::to_string(kTokenVersion)};
    }
    if (in.u16() != kTokenPrefixBytes) return bad;
    const size_t body_bytes = in.u32();
    if (in.u32() != 0 || !in.ok() || in.left() != body_bytes + 8) return bad;
    ByteReader body(in.raw(body_bytes));
    if (in.u64() != hash64(bytes.first(kTokenPrefixBytes + body_bytes))) return bad;
    Result<Token> token = decode_token(body);
    if (token.ok() && body.left() != 0) return bad;
    return token;
}

}  // namespace tanist::failover
