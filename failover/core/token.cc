#include "failover/core/token.h"

#include <algorithm>

#include "failover/core/mutation.h"

namespace tanist::failover {
namespace {

constexpr size_t kDomainBytes = 16;

// What is signed begins with a domain, so that no signature of one kind passes for another.
ByteWriter begin_signed(std::string_view domain, Bytes& bytes) {
    ByteWriter out(bytes);
    bytes.assign(domain.begin(), domain.end());
    bytes.resize(kDomainBytes, 0);
    return out;
}

bool is_operator(const Config& config, const NodeKey& key) {
    return std::find(config.operators.begin(), config.operators.end(), key) !=
           config.operators.end();
}

Error refused(std::string why) { return Error{Errc::refused, std::move(why)}; }

}  // namespace

const char* to_string(VoteKind kind) {
    switch (kind) {
        case VoteKind::automatic:
            return "automatic";
        case VoteKind::handover:
            return "handover";
        case VoteKind::lossy:
            return "lossy";
        case VoteKind::ordered:
            return "ordered";
        case VoteKind::accept_loss:
            return "accept_loss";
        case VoteKind::forced:
            return "forced";
    }
    return "?";
}

Bytes signed_bytes(const GrantTerms& terms, const Grant& grant) {
    Bytes bytes;
    ByteWriter out = begin_signed("TANIST-GRANT-1", bytes);
    encode(terms, out);
    out.from(grant.voter.bytes);
    out.u8(grant.is_data ? 1 : 0);
    encode(grant.policy, out);
    return bytes;
}

Bytes signed_bytes(const ReleaseCert& cert) {
    Bytes bytes;
    ByteWriter out = begin_signed("TANIST-RELEAS-1", bytes);
    encode(cert, out);
    bytes.resize(bytes.size() - cert.signature.bytes.size());
    return bytes;
}

Bytes signed_bytes(const OperatorCert& cert) {
    Bytes bytes;
    ByteWriter out = begin_signed("TANIST-ORDER-1", bytes);
    encode(cert, out);
    bytes.resize(bytes.size() - cert.signature.bytes.size());
    return bytes;
}

Grant make_grant(const GrantTerms& terms, bool is_data, const Policy& policy,
                 const Signer& signer) {
    Grant grant{signer.self(), is_data, policy, {}};
    grant.signature = signer.sign(signed_bytes(terms, grant));
    return grant;
}

Policy newest_policy(const Token& token, const Config& config) {
    Policy newest = configured_policy(config);
    for (const Grant& grant : token.grants) {
        if (grant.policy.id > newest.id) newest = grant.policy;
    }
    return newest;
}

bool is_covered(const ReleaseCert& cert, const GrantTerms& terms) {
    return cert.epoch < terms.epoch && terms.base.position >= cert.final.position;
}

bool has_quorum(const Token& token, const Config& config) {
    if (token.terms.kind == VoteKind::forced) return true;
    std::vector<NodeKey> all, data;
    for (const Grant& grant : token.grants) {
        const Member* member = config.find(grant.voter);
        if (member == nullptr) continue;
        if (std::find(all.begin(), all.end(), grant.voter) != all.end()) continue;
        all.push_back(grant.voter);
        if (grant.is_data && member->syncs()) data.push_back(grant.voter);
    }
    if (!is_majority(config, all)) return false;
    if (may_lose(token.terms.kind) || mutant(Mutation::majority_only)) return true;
    if (token.terms.kind == VoteKind::handover) return true;
    return meets_every_ack_set(config, data, newest_policy(token, config).k);
}

Status verify(const OperatorCert& cert, const Config& config, const Signer& signer) {
    if (cert.cluster != config.cluster || cert.group != config.group) {
        return Error{Errc::invalid, "the order is for another group"};
    }
    if (!by_operator(cert.kind)) return refused("the order is of no kind that an operator gives");
    if (!is_operator(config, cert.by)) return refused("the order is not by an operator's key");
    if (!signer.verify(cert.by, signed_bytes(cert), cert.signature)) {
        return refused("the order's signature is wrong");
    }
    return ok_status();
}

Status verify(const ReleaseCert& cert, const Config& config, const Signer& signer) {
    if (cert.cluster != config.cluster || cert.group != config.group) {
        return Error{Errc::invalid, "the release is for another group"};
    }
    if (!config.votes(cert.holder)) return refused("the release is not by a member");
    if (!signer.verify(cert.holder, signed_bytes(cert), cert.signature)) {
        return refused("the release's signature is wrong");
    }
    return ok_status();
}

namespace {

Status verify_order(const Token& token, const Config& config, const Signer& signer) {
    if (!by_operator(token.terms.kind)) {
        return token.order ? refused("a token of this kind carries no order") : ok_status();
    }
    if (!token.order) return refused("the token lacks the operator's order");
    TANIST_TRY(verify(*token.order, config, signer));
    const OperatorCert& order = *token.order;
    if (order.kind != token.terms.kind || order.target != token.terms.candidate) {
        return refused("the operator ordered something else");
    }
    const bool exact = order.kind == VoteKind::forced;
    if (exact ? order.epoch != token.epoch() : order.epoch > token.epoch()) {
        return refused("the operator ordered another epoch");
    }
    return ok_status();
}

Status verify_handover(const Token& token, const Config& config, const Signer& signer) {
    if (token.terms.kind != VoteKind::handover) {
        return token.release ? refused("a token of this kind carries no release") : ok_status();
    }
    if (!token.release) return refused("the token lacks the former holder's release");
    TANIST_TRY(verify(*token.release, config, signer));
    if (!is_covered(*token.release, token.terms)) {
        return refused("the token's base lacks records of the former holder");
    }
    return ok_status();
}

}  // namespace

Status verify(const Token& token, const Config& config, const Signer& signer) {
    const GrantTerms& terms = token.terms;
    if (terms.cluster != config.cluster || terms.group != config.group) {
        return Error{Errc::invalid, "the token is for another group"};
    }
    if (terms.config != config.id) {
        return Error{Errc::invalid, "the token was granted under another config"};
    }
    if (terms.epoch == Epoch(0)) return refused("the token has no epoch");
    const Member* holder = config.find(terms.candidate);
    if (holder == nullptr || holder->witness) return refused("the token's holder holds no data");
    if (terms.kind == VoteKind::lossy && config.lag_max_on_failover == 0) {
        return refused("the config allows no lossy election");
    }
    TANIST_TRY(verify_order(token, config, signer));
    TANIST_TRY(verify_handover(token, config, signer));
    for (const Grant& grant : token.grants) {
        if (!signer.verify(grant.voter, signed_bytes(terms, grant), grant.signature)) {
            return refused("a grant's signature is wrong");
        }
    }
    if (!has_quorum(token, config)) return refused("the token's grants are no quorum");
    return ok_status();
}

}  // namespace tanist::failover
