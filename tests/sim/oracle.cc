#include "tests/sim/oracle.h"

#include <algorithm>

namespace tanist::sim {

using namespace failover;

namespace {

uint64_t half(const Chain& chain) {
    uint64_t word = 0;
    std::memcpy(&word, chain.bytes.data(), sizeof word);
    return word;
}

std::string text(Lsn lsn) { return std::to_string(lsn.value); }
std::string text(Epoch epoch) { return std::to_string(epoch.value); }
std::string text(int node) { return "n" + std::to_string(node); }
int number_of(const NodeKey& key) { return key.bytes[0] - 1; }

}  // namespace

Oracle::Oracle(const Swarm& swarm) : swarm_(swarm) {}

void Oracle::fail(const std::string& invariant, const std::string& what) {
    if (!breach_) breach_ = invariant + ": " + what;
}

bool Oracle::base_has(const KnownToken& token, Lsn lsn, const Chain& chain) const {
    return lsn.value <= token.base.size() && token.base[lsn.value - 1] == chain;
}

void Oracle::on_token(const Token& token, const SimLog& log, const Signer& signer) {
    const int holder = number_of(token.holder());
    const auto known = tokens_.find(token.epoch());
    if (known != tokens_.end()) {
        return fail("S1 ElectionSafety", "epoch " + text(token.epoch()) + " is held by " +
                                             text(known->second.holder) + " and by " +
                                             text(holder));
    }
    // What a verifier without this process' memory would say.
    Bytes bytes = token_file(token);
    const Result<Token> read = read_token_file(bytes);
    if (!read.ok() || !(*read == token) || !verify(*read, swarm_.config, signer).ok()) {
        fail("T1 TokenVerifies", "epoch " + text(token.epoch()));
    }
    KnownToken entry{holder, token.terms.kind, {}};
    for (const Entry& record : log.entries()) entry.base.push_back(record.point.chain);
    if (may_lose(token.terms.kind)) {
        lossy_token_ = true;
        // What it does not continue is given up, knowingly: LOSS-KNOWN is checked at the end. (One
        // that a newer token has overtaken gives nothing up, and owes nothing to S7 either: it may
        // lack what was committed before it.)
        const bool newest = tokens_.upper_bound(token.epoch()) == tokens_.end();
        for (size_t i = 0; newest && i < committed_.size(); ++i) {
            if (!base_has(entry, Lsn(i + 1), committed_[i].chain)) {
                discarded_ += committed_.size() - i;
                committed_.resize(i);
                break;
            }
        }
    }
    for (size_t i = 0; !may_lose(token.terms.kind) && i < committed_.size(); ++i) {
        if (committed_[i].by >= token.epoch()) continue;
        if (!base_has(entry, Lsn(i + 1), committed_[i].chain)) {
            fail("S7 LeaderCompleteness", "the token of epoch " + text(token.epoch()) + " at " +
                                              text(holder) + " lacks record " + text(Lsn(i + 1)) +
                                              ", committed by epoch " + text(committed_[i].by));
            break;
        }
    }
    tokens_.emplace(token.epoch(), std::move(entry));
}

void Oracle::on_grant(int voter, const VoteGrant& grant, bool lacks) {
    const auto key = std::make_pair(voter, grant.epoch.value);
    const auto [vote, first] = votes_.try_emplace(key, NodeKey{}, grant.nonce);
    if (!first && vote->second.second != grant.nonce) {
        fail("S3 VoteOnce", text(voter) + " voted twice in epoch " + text(grant.epoch));
    }
    const bool witness = swarm_.config.members[static_cast<size_t>(voter)].witness;
    if (witness && grant.grant.is_data) fail("S14 WitnessNotData", text(voter));
    if (lacks && grant.grant.is_data) {
        fail("S15 SuspectNotData", text(voter) + " lost what it acknowledged and grants as data");
    }
}

void Oracle::on_ballot_durable(int voter, const Ballot& ballot) {
    Epoch& known = promised_[voter];
    if (ballot.promised < known && !ballot.lost) {
        fail("S2 PromiseMonotonic",
             text(voter) + " went from " + text(known) + " to " + text(ballot.promised));
    }
    known = std::max(known, ballot.promised);
    const Policy& policy = ballot.policy;
    const auto key = std::make_pair(voter, policy.id.epoch.value);
    const auto [weakest, first] = weakest_.try_emplace(key, policy.k);
    if (!first) weakest->second = std::min(weakest->second, policy.k);
}

void Oracle::on_start(int voter, const Ballot& ballot, bool lost) {
    // With its ballot a voter loses promises that only its own candidacy rested on; that candidacy
    // died with the process, and those that others rest on are told by the others.
    if (lost) promised_[voter] = Epoch(0);
    if (!lost && !ballot.lost && ballot.promised < promised_[voter]) {
        fail("S2 PromiseMonotonic", text(voter) + " starts with " + text(ballot.promised) +
                                        ", it had promised " + text(promised_[voter]));
    }
}

void Oracle::on_ack(int voter, Epoch epoch, Epoch promised) {
    if (promised > epoch) {
        fail("S4 NoAckAfterPromise", text(voter) + " acknowledges epoch " + text(epoch) +
                                         ", it promised " + text(promised));
    }
}

void Oracle::on_append(int node, const Entry& entry) {
    const size_t index = entry.point.position.lsn.value;
    if (points_.size() < index + 1) points_.resize(index + 1);
    for (const LogPoint& point : points_[index]) {
        if (point.position.epoch != entry.point.position.epoch) continue;
        if (point.chain != entry.point.chain) {
            fail("S6 LsnUnique",
                 text(node) + ": " + to_string(entry.point.position) + " has two contents");
        }
        return;
    }
    points_[index].push_back(entry.point);
}

void Oracle::on_cut(int node, const SimLog& log, Lsn keep) {
    for (uint64_t i = keep.value + 1; i <= log.end().position.lsn.value; ++i) {
        const Chain& chain = log.entry(Lsn(i)).point.chain;
        ++saved_[{i, half(chain)}];
        if (i <= committed_.size() && committed_[i - 1].chain == chain) {
            fail("S8 CommittedForever", text(node) + " cuts the committed record " + text(Lsn(i)));
        }
    }
}

void Oracle::on_commit(int node, Epoch epoch, const SimLog& log, Lsn from, Lsn to) {
    const Entry& last = log.entry(to);
    if (last.point.position.epoch != epoch) {
        fail("S10 OwnEpochCommit", text(node) + " commits " + to_string(last.point.position) +
                                       " as holder of epoch " + text(epoch));
    }
    // A holder that an operator's order or a lossy election left behind commits nothing that
    // counts.
    if (lossy_after(epoch)) return;
    for (uint64_t i = std::max<uint64_t>(from.value, 1); i <= to.value; ++i) {
        const LogPoint& point = log.entry(Lsn(i)).point;
        if (committed_.size() < i) committed_.resize(i);
        Committed& known = committed_[i - 1];
        if (!known.known) {
            known = {point.chain, point.position.epoch, epoch, true};
        } else if (known.chain != point.chain) {
            return fail("S8 CommittedForever",
                        "record " + text(Lsn(i)) +
                            " is committed with two contents, the second by " + text(node) +
                            " in epoch " + text(epoch));
        } else {
            known.by = std::min(known.by, epoch);
        }
        for (auto later = tokens_.upper_bound(epoch); later != tokens_.end(); ++later) {
            if (!base_has(later->second, Lsn(i), point.chain)) {
                return fail("S9 AckedDurable", text(node) + " commits " +
                                                   to_string(point.position) + " in epoch " +
                                                   text(epoch) + ", epoch " + text(later->first) +
                                                   " does not contain it");
            }
        }
    }
}

bool Oracle::lossy_after(Epoch epoch) const {
    for (auto later = tokens_.upper_bound(epoch); later != tokens_.end(); ++later) {
        if (may_lose(later->second.kind)) return true;
    }
    return false;
}

void Oracle::on_apply(int node, const SimLog& log, Lsn from, Lsn to) {
    for (uint64_t i = from.value; i <= to.value; ++i) {
        if (lossy_token_) return;
        const bool known = i <= committed_.size() && committed_[i - 1].known;
        if (!known || committed_[i - 1].chain != log.entry(Lsn(i)).point.chain) {
            return fail("PREFIX", text(node) + " shows record " + text(Lsn(i)) +
                                      ", which is not what was committed");
        }
    }
}

void Oracle::on_client_ack(int node, const Entry& entry) {
    ++client_acks_;
    const Lsn lsn = entry.point.position.lsn;
    told_.emplace_back(lsn, entry.point.chain);
    // FENCED: a later epoch exists; then the record must be part of it.
    for (auto later = tokens_.upper_bound(entry.point.position.epoch); later != tokens_.end();
         ++later) {
        if (may_lose(later->second.kind)) break;
        if (!base_has(later->second, lsn, entry.point.chain)) {
            return fail("FENCED", text(node) + " acknowledges " + to_string(entry.point.position) +
                                      ", epoch " + text(later->first) + " goes on without it");
        }
    }
}

void Oracle::on_release_sent(int node, Epoch epoch) { released_[{node, epoch.value}] = {}; }

void Oracle::on_holder_act(int node, Epoch epoch, const char* act) {
    if (released_.contains({node, epoch.value})) {
        fail("L4 ReleaseFinal",
             text(node) + " released epoch " + text(epoch) + " and still " + act);
    }
}

void Oracle::on_weak_policy_used(int node, Epoch epoch, const Policy& policy) {
    std::vector<NodeKey> stored;
    for (size_t voter = 0; voter < swarm_.config.members.size(); ++voter) {
        const auto weakest = weakest_.find({static_cast<int>(voter), epoch.value});
        if (weakest != weakest_.end() && weakest->second <= policy.k) {
            stored.push_back(swarm_.config.members[voter].node);
        }
    }
    if (!is_majority(swarm_.config, stored)) {
        fail("S13 PolicyRestamp", text(node) + " commits with k=" + std::to_string(policy.k) +
                                      " in epoch " + text(epoch) +
                                      ", which no majority has stored in it");
    }
}

void Oracle::on_stronger_policy_sent(int node, const Policy& policy, Lsn committed,
                                     const std::vector<NodeFacts>& nodes) {
    size_t copies = 0;
    for (const NodeFacts& facts : nodes) {
        if (facts.log == nullptr || facts.log->durable() < committed) continue;
        const std::optional<LogPoint> here = facts.log->at(committed);
        const bool same =
            committed.value == 0 || (committed.value <= committed_.size() && here &&
                                     here->chain == committed_[committed.value - 1].chain);
        copies += same ? 1 : 0;
    }
    if (copies < policy.k + 1u) {
        fail("S12 PolicyOrder", text(node) + " has k=" + std::to_string(policy.k) +
                                    " stored while record " + text(committed) + " has " +
                                    std::to_string(copies) + " copies");
    }
}

void Oracle::on_renewal(int node, Nanos since_progress) {
    if (since_progress > swarm_.config.timing.lease) {
        fail("L6 ProgressGate", text(node) + " renews although its disk hangs");
    }
}

void Oracle::check_gates(const std::vector<NodeFacts>& nodes) {
    const NodeFacts* passing = nullptr;
    for (const NodeFacts& facts : nodes) {
        // Who looked at the gate just before `until` may act until `guard` later.
        const bool passes = facts.up && !facts.frozen && facts.gate.state == GateState::open &&
                            facts.local < facts.gate.until + facts.guard;
        if (!passes) continue;
        if (passing != nullptr) {
            ++lease_overlaps_;
            const bool excused = lease_excused_ || swarm_.beyond_bound ||
                                 swarm_.config.lease_mode == LeaseMode::writes_only || lossy_token_;
            if (!excused) {
                fail("LEASE", text(passing->number) + " (epoch " + text(passing->gate.epoch) +
                                  ") and " + text(facts.number) + " (epoch " +
                                  text(facts.gate.epoch) + ") pass the gate at one moment");
            }
            return;
        }
        passing = &facts;
    }
}

void Oracle::check_end(const SimLog& log) {
    for (const auto& [lsn, chain] : told_) {
        const std::optional<LogPoint> here = log.at(lsn);
        if (here && here->chain == chain) continue;
        if (!lossy_token_) {
            return fail("NO-LOSS", "the acknowledged record " + text(lsn) + " is gone");
        }
        if (!saved_.contains({lsn.value, half(chain)})) {
            return fail("LOSS-KNOWN",
                        "the acknowledged record " + text(lsn) + " is gone and nobody saved it");
        }
    }
}

}  // namespace tanist::sim
